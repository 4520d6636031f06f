# METADATA
# title: Limits
# description: Requests and tokens a minute and requests at a time, of the key, the user and its groups, the team, the organisation, and the organisation at one model.
package rules.limits

import data.aegis.caller
import data.rules.routing

default granted := false

granted if count(rate.limits) > 0

# METADATA
# title: Tier
# description: The team's tier, or the organisation's when the team has none.
# custom:
#   code: tier
tier := object.get(caller.team, "tier", caller.organization.tier)

tier := caller.organization.tier if input.caller.team == ""

limits := data.tiers[tier].limits

rate := {"tier": tier, "limits": array.flatten([key, org, team, user, groups, model])}

key := [limit("key", input.caller.id, limits.key)]

org := [limit("org", input.caller.org, data.tiers[caller.organization.tier].limits.org)]

team := [] if input.caller.team == ""

team := [limit("team", caller.team_subject, limits.team)] if input.caller.team != ""

user := [] if caller.user == ""

user := [limit("user", caller.user_subject, limits.user)] if caller.user != ""

default groups := []

groups := [limit("group", $"{input.caller.org}/{group}", limits.group) |
	some group in input.caller.groups
] if limits.group

default model := []

# Of the model that is tried first: what an organisation may take of a scarce one.
model := [limit("model", $"{input.caller.org}/{first.upstream}/{first.model}", figures)] if {
	figures_by_class := data.tiers[caller.organization.tier].limits.model
	first := routing.candidates[0]
	figures := figures_by_class[data.models[first.model].class]
}

limit(scope, subject, figures) := {
	"scope": scope,
	"subject": subject,
	"requests_per_minute": figures.requests_per_minute,
	"tokens_per_minute": figures.tokens_per_minute,
	"concurrent": figures.concurrent,
}

fired contains "limits.tier" if tier
