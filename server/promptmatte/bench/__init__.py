"""What PromptMatte measures of itself and of others, on the machine it runs on."""
