# METADATA
# title: Budgets
# description: Spend caps of a month for organisation and team, of a day for users whose roles have one.
package rules.budgets

import data.aegis.caller

default granted := false

granted if free

granted if count(budgets) > 0

budgets := [] if free

budgets := array.flatten([org, team, user]) if not free

default free := false

# Counting tokens costs nothing, so it works with a budget that is used up.
free if input.request.endpoint == "messages.count_tokens"

free if caller.modelless

# METADATA
# title: Monthly budget of the organisation
# description: The organisation's cap, in its time zone.
# custom:
#   code: org_month
org := [budget("org", input.caller.org, "month", caller.organization.budget.usd)]

# METADATA
# title: Monthly budget of the team
# description: The team's cap, in its organisation's time zone.
# custom:
#   code: team_month
team := [budget("team", caller.team_subject, "month", caller.team.budget.usd)]

team := [] if input.caller.team == ""

# METADATA
# title: Daily budget of the user
# description: Binds users all of whose roles have a daily budget, such as students, at the largest of them.
# custom:
#   code: user_day
user := [budget("user", caller.user_subject, "day", max(daily))] if {
	caller.user != ""
	bound
}

# A credential without a user is one itself: a token that leaves out its holder's name lifts no cap. Only who may act for
# users spends as itself without one.
user := [budget("key", input.caller.id, "day", max(daily))] if {
	caller.user == ""
	bound
	not caller.acts_for_users
}

user := [] if {
	caller.user == ""
	bound
	caller.acts_for_users
}

user := [] if {
	is_string(caller.user)
	not bound
}

daily := [role.daily_budget.usd | some role in caller.roles]

bound if {
	count(daily) > 0
	count(daily) == count(caller.roles)
}

budget(scope, subject, period, usd) := {
	"scope": scope,
	"subject": subject,
	"period": period,
	"timezone": caller.organization.timezone,
	"micro_usd": round(usd * 1000000),
	"on_exceed": "deny",
}

fired contains "budgets.org_month" if {
	not free
	count(org) > 0
}

fired contains "budgets.team_month" if {
	not free
	count(team) > 0
}

fired contains "budgets.user_day" if {
	not free
	count(user) > 0
}
