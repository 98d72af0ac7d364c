"""Plain steps, one a module: read, plan, speak, assemble, master, package."""
