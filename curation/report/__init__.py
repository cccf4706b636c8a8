"""Reports a build: the summary on the screen, the card, the page, the contact sheet."""
