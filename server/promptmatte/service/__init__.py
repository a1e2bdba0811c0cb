"""The server as a service of the system: started at login, restarted, its words in a log."""
