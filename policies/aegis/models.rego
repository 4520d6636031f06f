package aegis

import data.aegis.caller
import data.rules

# METADATA
# title: Models of a caller
# description: For GET /v1/models, on the same input as the decision. The names this caller may use, sorted; empty when it may not call at all.
# entrypoint: true
models := caller.usable_models if rules.access.granted

models := [] if not rules.access.granted
