package rules.budgets_test

import data.aegis
import data.aegis.testing

budgets(changes) := result if {
	result := aegis.decision.budgets with input as testing.request(changes)
}

scopes(changes) := [budget.scope | some budget in budgets(changes)]

test_a_students_call_is_under_three_caps if {
	budgets({}) == [
		{
			"scope": "org", "subject": "demo-university", "period": "month",
			"timezone": "Europe/Brussels", "micro_usd": 5000000000, "on_exceed": "deny",
		},
		{
			"scope": "team", "subject": "demo-university/cs101", "period": "month",
			"timezone": "Europe/Brussels", "micro_usd": 200000000, "on_exceed": "deny",
		},
		{
			"scope": "user", "subject": "demo-university/sam", "period": "day",
			"timezone": "Europe/Brussels", "micro_usd": 2000000, "on_exceed": "deny",
		},
	]
}

test_a_teacher_has_no_daily_budget if {
	scopes({"caller": {"roles": ["teacher"]}}) == ["org", "team"]
}

test_a_student_who_teaches_has_no_daily_budget if {
	scopes({"caller": {"roles": ["student", "teacher"]}}) == ["org", "team"]
}

test_of_several_daily_budgets_the_largest_binds if {
	decision := aegis.decision with input as testing.request({"caller": {"roles": ["student", "teacher"]}})
		with data.roles.teacher.daily_budget as {"usd": 5}
	decision.budgets[2].micro_usd == 5000000
}

test_a_service_without_a_user_has_no_daily_budget if {
	own := data.rules.budgets.user with input as testing.request({"caller": {"user": "", "roles": ["service"]}})
	own == []
}

test_a_student_without_a_name_has_the_daily_budget_of_its_credential if {
	[_, _, own] := budgets({"caller": {"user": "", "id": "jwt_0123"}})
	[own.scope, own.subject, own.period, own.micro_usd] == ["key", "jwt_0123", "day", 2000000]
	scopes({"caller": {"user": "", "roles": ["teacher"]}}) == ["org", "team"]
}

test_a_fraction_of_a_cent_is_a_whole_number_of_micro_dollars if {
	decision := aegis.decision with input as testing.student
		with data.organizations["demo-university"].teams.cs101.budget as {"usd": 0.07}
	decision.budgets[1].micro_usd == 70000
}

test_counting_tokens_is_free if {
	decision := aegis.decision with input as testing.request({"request": {"endpoint": "messages.count_tokens"}})
	decision.allow
	decision.budgets == []
	count(decision.rate.limits) > 0
	not "budgets.org_month" in decision.rules
}

test_vectors_are_not if {
	decision := aegis.decision with input as testing.embedder
	[budget.scope | some budget in decision.budgets] == ["org", "team"]
}
