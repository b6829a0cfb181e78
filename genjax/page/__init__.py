"""Workdirs in, one page of HTML out that needs nothing else: what `genjax report` writes. It imports no JAX."""
