# METADATA
# title: Audit
# description: What the audit keeps of prompt and answer, and for how long. The record itself is always written.
package rules.audit

import data.aegis.caller

default granted := false

granted if is_string(audit.content)

# METADATA
# title: Retention
# description: As the organisation's data say.
# custom:
#   code: retention
audit := {
	"content": caller.organization.audit.content,
	"retention_days": caller.organization.audit.retention_days,
}

fired contains "audit.retention" if audit
