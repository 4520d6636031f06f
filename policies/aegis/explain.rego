package aegis

import data.aegis.explanation

# METADATA
# title: Explanation
# description: For aegis explain and /admin/v1/decisions, on the recorded input of a decision. Each model that could have been meant with what it failed, and for a refusal what would have been needed. Nothing of it is evaluated for a request.
# entrypoint: true
explain := {"considered": explanation.considered, "needed": explanation.needed}
