# METADATA
# title: Parameters
# description: What is set on the call. The output cap is always sent, so that what a request can cost has a bound.
package rules.parameters

import data.aegis.caller
import data.rules.experiments
import data.rules.limits
import data.rules.routing

default granted := false

# Vectors and counts have no output to cap.
granted if caller.modelless

granted if input.request.endpoint in {"embeddings", "messages.count_tokens"}

granted if {
	is_array(wish)
	max_output_tokens >= 1
}

parameters := {"max_output_tokens": max_output_tokens}

default writes := false

writes if input.request.endpoint in {"chat.completions", "responses", "messages", "completions"}

# METADATA
# title: Output cap
# description: The least of the caller's wish, the tier's cap, the roles' cap, what the first model can write, and what the arm of an experiment says.
# custom:
#   code: output_cap
max_output_tokens := min(array.flatten([
	wish, experiments.caps,
	data.tiers[limits.tier].max_output_tokens,
	max([role.max_output_tokens | some role in caller.roles]),
	data.models[routing.candidates[0].model].max_output_tokens,
])) if {
	writes
}

wish := [] if is_null(input.request.max_output_tokens)

wish := [input.request.max_output_tokens] if {
	is_number(input.request.max_output_tokens)
	not echoes
}

wish := [1] if echoes

default echoes := false

# Legacy completions may ask for no output: with `echo` they give the log probabilities of the prompt itself.
echoes if {
	input.request.endpoint == "completions"
	input.request.max_output_tokens == 0
}

# METADATA
# title: Output cap of nothing
# description: A cap of 0 tokens is no request, but for legacy completions with echo.
# custom:
#   code: invalid_max_tokens
deny contains {
	"rule": "parameters.invalid_max_tokens",
	"code": "invalid_max_tokens",
	"message": "The output cap (max_tokens, max_completion_tokens) must be at least 1.",
	"hint": "",
} if {
	is_number(input.request.max_output_tokens)
	input.request.max_output_tokens < 1
	not echoes
}

fired contains "parameters.output_cap" if {
	some tokens in wish
	tokens > max_output_tokens
}
