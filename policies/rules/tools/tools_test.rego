package rules.tools_test

import data.aegis
import data.aegis.testing

decide(names) := result if {
	result := aegis.decision with input as testing.request({"request": {"tools": names}})
}

test_forbidden_tools_are_taken_out_and_the_rest_goes_on if {
	decision := decide(["send_email", "calculator", "web_browser", "send_email"])
	decision.allow
	decision.tools.remove == ["send_email", "web_browser"]
	"tools.forbidden_tool" in decision.rules
}

test_other_tools_stay if {
	decision := decide(["calculator"])
	decision.tools.remove == []
	not "tools.forbidden_tool" in decision.rules
}

test_without_tools_nothing_is_taken_out if {
	decide([]).tools.remove == []
}

test_an_organisation_forbids_its_own if {
	decision := aegis.decision with input as testing.request({
		"request": {"tools": ["code_execution"]},
		"caller": {"org": "demo-college", "team": "year-12"},
	})
	decision.tools.remove == ["code_execution"]
}
