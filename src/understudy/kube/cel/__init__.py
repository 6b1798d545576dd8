"""CEL, the Common Expression Language, as Kubernetes speaks it.

Expressions are parsed by the CEL project's own parser (`cel-expr-python`); checking, cost
estimation and evaluation are here, because Kubernetes checks against schemas, bounds costs before
it accepts a rule, and adds function libraries. Nothing here does I/O or reads a clock.

    compile(text, Environment) -> Program;  Program.evaluate({"self": ...}) -> value
"""
