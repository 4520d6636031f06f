# METADATA
# title: Parts of the traffic
# description: Whom an experiment or a mirror concerns, and what it draws. Functions of the input alone, so that a replay repeats them.
package aegis.traffic

import data.aegis.caller
import data.rules.routing

# Whether it concerns the request: a list that it does not have leaves nobody out.
concerned(entry) if {
	listed(entry, "organizations", input.caller.org)
	listed(entry, "workflows", caller.workflow_name)
	listed(entry, "tasks", routing.task)
}

listed(entry, list, _) if not entry[list]

listed(entry, list, name) if entry[list][name]

# 0 to 9,999, the same for a unit each time. The factor has no divisor in common with 10,000, so every number comes up as
# often as in input.bucket, and another salt orders the units anew. It is large, so that neighbours in the bucket, whom a
# canary takes together, are spread over the arms.
draw(unit, salt) := ((input.bucket[unit] * ((salt * 10) + 3173)) + salt) % 10000
