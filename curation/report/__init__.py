"""What a person is told of a build: the summary on the screen, the card, the page."""
