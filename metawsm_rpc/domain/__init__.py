"""Pure: lifecycles, plans and judgements as functions of plain data."""
