"""The page for phones and laptops: live control, pictures and videos; extra `web`.

A process of its own and a client of a running server like any other. page.py puts it
together, host.py serves it; gradio is imported by no other module of the package.
"""
