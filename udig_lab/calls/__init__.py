"""What else can be asked beside ``explain``: an answer token by token, what a call would take, a path step by step."""
