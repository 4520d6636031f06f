package rules.access_test

import data.aegis
import data.aegis.testing
import data.rules.access

refused_with(changes, rule) if {
	decision := aegis.decision with input as testing.request(changes)
	decision.allow == false
	rule in testing.refusals(decision)
}

hint(changes) := result if {
	result := aegis.decision.deny[0].hint with input as testing.request(changes)
}

test_a_student_may_call if {
	aegis.decision.allow with input as testing.student
}

test_an_unknown_organisation_is_refused if {
	refused_with({"caller": {"org": "nowhere"}}, "access.unknown_organization")
}

test_a_team_is_needed if {
	refused_with({"caller": {"team": ""}}, "access.team_required")
}

test_a_team_may_be_optional if {
	decision := aegis.decision with input as testing.request({"caller": {"org": "demo-college", "team": ""}})
	decision.allow
	[budget.scope | some budget in decision.budgets] == ["org", "user"]
	[limit.scope | some limit in decision.rate.limits] == ["key", "org", "user"]
}

test_a_team_of_another_organisation_is_refused if {
	refused_with({"caller": {"team": "year-12"}}, "access.unknown_team")
}

test_an_unknown_role_grants_nothing if {
	refused_with({"caller": {"roles": ["emperor"]}}, "access.unknown_role")
	refused_with({"caller": {"roles": []}}, "access.unknown_role")
}

test_an_unknown_role_beside_a_known_one_changes_nothing if {
	one := aegis.decision with input as testing.student
	two := aegis.decision with input as testing.request({"caller": {"roles": ["student", "emperor"]}})
	one == two
}

test_an_endpoint_must_be_allowed_to_a_role if {
	decision := aegis.decision with input as testing.student with data.roles as {"student": object.union(object.remove(data.roles.student, ["endpoints"]), {"endpoints": {"messages": true}})}
	testing.refusals(decision) == {"access.endpoint_not_allowed"}
}

test_an_unknown_workflow_is_refused_with_the_callers_own if {
	refused_with({"purpose": {"workflow": "mining"}}, "access.unknown_workflow")
	hint({"purpose": {"workflow": "mining"}}) == "This caller's workflows: assistant, essay-feedback, quiz, tutoring."
}

test_a_workflow_that_the_organisation_does_not_have_is_unknown if {
	refused_with(
		{"caller": {"org": "demo-college", "team": "year-12"}, "purpose": {"workflow": "research"}},
		"access.unknown_workflow",
	)
}

test_a_workflow_of_another_role_is_refused if {
	refused_with({"purpose": {"workflow": "grading"}}, "access.workflow_not_allowed")
}

test_a_credential_limits_its_workflows if {
	limited := {"workflows": ["quiz", "tutoring"]}
	refused_with({"caller": limited, "purpose": {"workflow": "essay-feedback"}}, "access.workflow_outside_credential")
	hint({"caller": limited, "purpose": {"workflow": "essay-feedback"}}) == "This caller's workflows: quiz, tutoring."
	aegis.decision.allow with input as testing.request({"caller": limited, "purpose": {"workflow": "quiz"}})
}

test_a_call_without_a_workflow_gets_the_default if {
	aegis.caller.workflow_name == "assistant" with input as testing.request({"purpose": {"workflow": ""}})
	aegis.decision.allow with input as testing.request({"purpose": {"workflow": ""}})
}

test_a_call_without_a_workflow_gets_the_only_one_of_its_credential if {
	changed := testing.request({"caller": {"workflows": ["quiz"]}, "purpose": {"workflow": ""}})
	aegis.caller.workflow_name == "quiz" with input as changed
	aegis.decision.allow with input as changed
}

test_without_a_default_a_workflow_is_needed if {
	organization := object.remove(data.organizations["demo-university"], ["default_workflow"])
	decision := aegis.decision with input as testing.request({"purpose": {"workflow": ""}})
		with data.organizations as {"demo-university": organization}
	testing.refusals(decision) == {"access.workflow_required"}
}

test_an_unknown_institution_is_refused if {
	refused_with({"purpose": {"tags": {"institution": "Hogwarts"}}}, "access.unknown_institution")
	hint({"purpose": {"tags": {"institution": "Hogwarts"}}}) == "Known institutions: EXT, HUM, MIT."
}

test_an_unknown_course_of_an_institution_is_refused if {
	refused_with({"purpose": {"tags": {"institution": "MIT", "course": "ALCH101"}}}, "access.unknown_course")
	refused_with({"purpose": {"tags": {"institution": "HUM", "course": "CS101"}}}, "access.unknown_course")
}

test_known_tags_pass if {
	every tags in [
		{"institution": "MIT", "course": "CS101"},
		{"institution": "EXT", "course": "anything"},
		{"course": "no institution, no check"},
		{"other": "free"},
	] {
		aegis.decision.allow with input as testing.request({"purpose": {"tags": tags}})
	}
}

test_an_organisation_without_institutions_takes_any if {
	aegis.decision.allow with input as testing.request({
		"caller": {"org": "demo-college", "team": "year-12"},
		"purpose": {"tags": {"institution": "Any"}},
	})
}

test_listing_models_needs_no_workflow if {
	aegis.decision.allow with input as testing.request({
		"request": {"endpoint": "models", "model": ""},
		"purpose": {"workflow": "mining"},
	})
}

test_a_workflow_that_is_named_is_not_replaced_by_the_credentials if {
	refused_with(
		{"caller": {"workflows": ["quiz"]}, "purpose": {"workflow": "tutoring"}},
		"access.workflow_outside_credential",
	)
}

test_of_several_workflows_of_a_credential_none_is_chosen if {
	aegis.caller.workflow_name == "assistant" with input as testing.request({
		"caller": {"workflows": ["quiz", "tutoring"]},
		"purpose": {"workflow": ""},
	})
}

# Each on its own, whatever the deny rules say.
test_access_is_granted_only_with_all_it_needs if {
	access.granted with input as testing.student
	every changes in [
		{"caller": {"org": "nowhere"}},
		{"caller": {"team": ""}},
		{"caller": {"team": "year-12"}},
		{"caller": {"roles": []}},
		{"caller": {"workflows": ["quiz"]}},
		{"purpose": {"workflow": "grading"}},
		{"purpose": {"workflow": "mining"}},
		{"purpose": {"tags": null}},
		{"caller": {"id": null}},
		{"request": {"endpoint": "embeddings"}},
	] {
		not access.granted with input as testing.request(changes)
	}
}

test_one_reason_is_enough if {
	every rule, changes in {
		"access.unknown_organization": {"caller": {"org": "nowhere"}, "purpose": {"workflow": ""}},
		"access.unknown_role": {"caller": {"roles": []}, "request": {"endpoint": "models", "model": ""}},
		"access.workflow_not_allowed": {"purpose": {"workflow": "grading"}},
	} {
		decision := aegis.decision with input as testing.request(changes)
		testing.refusals(decision) == {rule}
	}
}

test_embeddings_and_completions_are_for_research_and_services if {
	every endpoint in ["embeddings", "completions"] {
		refused_with({"request": {"endpoint": endpoint}}, "access.endpoint_not_allowed")
		refused_with({"caller": {"roles": ["teacher"]}, "request": {"endpoint": endpoint}}, "access.endpoint_not_allowed")
		every role in ["researcher", "service", "admin"] {
			access.granted with input as testing.request({
				"caller": {"roles": [role]},
				"purpose": {"workflow": "assistant"},
				"request": {"endpoint": endpoint},
			})
		}
	}
}

# --- End users

named(source, name) := {"request": {"end_user": {"name": name, "source": source}}}

service(changes) := object.union(
	testing.request({"caller": {"team": "lms", "user": "", "roles": ["service"]}, "purpose": {"workflow": "assistant"}}),
	changes,
)

test_a_service_acts_for_the_user_it_names if {
	every source in ["header", "body"] {
		decision := aegis.decision with input as service(named(source, "zoe"))
		decision.allow
		decision.acting_for == "zoe"
		[limit.subject | some limit in decision.rate.limits; limit.scope == "user"] == ["demo-university/zoe"]
		[[budget.subject, budget.micro_usd] | some budget in decision.budgets; budget.scope == "user"] == [["demo-university/zoe", 5000000]]
	}
}

test_a_service_that_names_nobody_acts_for_itself if {
	decision := aegis.decision with input as service({})
	decision.allow
	decision.acting_for == null
	[limit | some limit in decision.rate.limits; limit.scope == "user"] == []
}

test_a_user_in_the_body_counts_for_nothing_without_the_role if {
	one := aegis.decision with input as testing.student
	two := aegis.decision with input as testing.request(named("body", "zoe"))
	one == two
	two.acting_for == null
}

test_the_header_without_the_role_is_refused if {
	refused_with(named("header", "zoe"), "access.acting_not_allowed")
	decision := aegis.decision with input as testing.request(named("header", "sam"))
	testing.refusals(decision) == {"access.acting_not_allowed"}
	decision.acting_for == null
}

test_who_acts_for_others_is_not_its_own_user if {
	decision := aegis.decision with input as service(object.union({"caller": {"user": "lms-1"}}, named("body", "zoe")))
	[limit.subject | some limit in decision.rate.limits; limit.scope == "user"] == ["demo-university/zoe"]
}

test_a_source_that_nobody_knows_is_refused if {
	not access.granted with input as testing.request(named("cookie", "zoe"))
	not access.granted with input as service(named("cookie", "zoe"))
}

test_every_role_but_the_platforms_has_the_operations_of_a_chat_model if {
	every role in object.keys(data.roles) - {"platform-admin"} {
		every endpoint in ["chat.completions", "responses", "messages", "messages.count_tokens", "models"] {
			data.roles[role].endpoints[endpoint]
		}
	}
}

# Nobody is asked for a model or a workflow who only says how good an answer was.
test_every_role_that_chats_may_send_feedback if {
	feedback := {"request": {"endpoint": "feedback", "model": ""}, "purpose": {"workflow": "mining"}}
	every role in ["student", "teacher", "researcher", "service", "admin"] {
		decision := aegis.decision with input as object.union(
			testing.request(feedback),
			{"caller": {"roles": [role]}},
		)
		decision.allow
		decision.route.candidates == []
		decision.parameters == {}
		decision.budgets == []
		[limit.scope | some limit in decision.rate.limits] == ["key", "org", "team", "user"]
	}
	refused_with(object.union(feedback, {"caller": {"roles": ["platform-admin"]}}), "access.endpoint_not_allowed")
	refused_with(object.union(feedback, {"caller": {"team": "x"}}), "access.unknown_team")
}
