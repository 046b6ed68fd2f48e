"""Subcommands of ``lrfdn``, one module each: ``add(commands)`` declares the arguments."""
