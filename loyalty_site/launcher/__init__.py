"""What stands behind the `./loyalty` script: the embedded database, the demo and its check, tests, benchmarks and lint.

Nothing here imports Django; the product's own commands run in child processes with the environment this package prepares.
"""
