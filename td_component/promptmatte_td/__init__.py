"""The TouchDesigner component: what becomes PromptMatte.tox.

Runs inside TouchDesigner with numpy and the standard library only, never installed: the
builder stores these sources as Text DATs and `embedding` imports them from there.
"""
