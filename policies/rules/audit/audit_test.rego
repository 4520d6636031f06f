package rules.audit_test

import data.aegis
import data.aegis.testing

test_content_is_kept_as_the_organisation_says if {
	decision := aegis.decision with input as testing.student
	decision.audit == {"content": "redacted", "retention_days": 90}
	"audit.retention" in decision.rules
}

test_an_organisation_may_keep_nothing if {
	decision := aegis.decision with input as testing.request({"caller": {"org": "demo-college", "team": "year-12"}})
	decision.audit == {"content": "none", "retention_days": 30}
}

test_an_unknown_organisation_keeps_nothing if {
	decision := aegis.decision with input as testing.request({"caller": {"org": "nowhere"}})
	decision.audit == {"content": "none", "retention_days": 30}
}
