# METADATA
# title: Mirrors
# description: Which requests another model answers too, for evaluation. Its answer is kept and never returned, and has a budget of its own.
package rules.mirrors

import data.aegis.caller
import data.aegis.traffic
import data.rules.routing

# No request hangs on its mirror: with a fact missing there is none.
default granted := false

granted if is_string(input.request.endpoint)

default mirror := null

# METADATA
# title: Mirrored
# description: The request is of the share that a mirror of policies/mirrors/data.yaml draws, and its organisation has evaluation set.
# custom:
#   code: mirrored
mirror := {
	"id": drawn,
	"model": place.model,
	"upstream": place.upstream,
	"daily_micro_usd": round(1000000 * data.mirrors[drawn].usd_per_day),
} if {
	routing.thrifty
	place.model != routing.candidates[0].model
}

fired contains "mirrors.mirrored" if is_object(mirror)

default writes := false

writes if input.request.endpoint in {"chat.completions", "responses", "messages"}

# The first by id. When its model cannot be asked nothing is mirrored: another that steps in would get a share that is not
# its own.
drawn := [id |
	some id in sort(object.keys(data.mirrors))
	writes
	caller.organization.evaluation == true
	entry := data.mirrors[id]
	input.request.time < entry.until
	traffic.concerned(entry)
	traffic.draw("request", entry.salt) < round(100 * entry.percent)
][0]

# What it may cost is the organisation's affair and not the role's, so the role's classes say nothing here; all else that
# keeps a model from this request keeps it from a mirror.
place := [site | some site in routing.sites(data.mirrors[drawn].model); masked_for(site.upstream)][0]

# A mirror changes nothing of the request, its masking included: text that stays with the operator does so here too.
masked_for(upstream) if input.upstreams[upstream].third_party == false

masked_for(upstream) if {
	input.upstreams[upstream].third_party == true
	some candidate in routing.candidates
	input.upstreams[candidate.upstream].third_party == true
}
