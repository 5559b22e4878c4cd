"""The four parts of a record, check, cells, population and ceilings, and what each of them computes with."""
