"""Pure functions of plain data: lifecycles, the plan compiler, health, names, text."""
