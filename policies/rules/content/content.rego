# METADATA
# title: Content
# description: What becomes of personal data, card numbers and credentials in a prompt.
package rules.content

import data.aegis.caller
import data.rules.routing

default granted := false

granted if caller.modelless

granted if {
	is_object(input.content.pii)
	is_object(input.content.secrets)
	is_array(input.content.uninspected)
}

redact := data.content.redact.own if own

redact := data.content.redact.third_party if not own

default own := false

# Positive: one candidate elsewhere, or of which it is not known, and everything is masked.
own if {
	count(routing.candidates) > 0
	every candidate in routing.candidates {
		input.upstreams[candidate.upstream].third_party == false
	}
}

# METADATA
# title: Card number
# description: Card numbers have no business in a prompt, wherever it goes.
# custom:
#   code: card_number
deny contains {
	"rule": "content.card_number",
	"code": "card_number",
	"message": "The prompt contains a payment card number.",
	"hint": "Remove the number and send the request again.",
} if {
	input.content.pii.card
}

# METADATA
# title: Personal data is tokenised
# description: E-mail addresses, phone numbers, IBANs, SSNs and IP addresses leave for a third party as placeholders, restored in the answer's text.
# custom:
#   code: tokenize_pii
fired contains "content.tokenize_pii" if {
	count(input.content.pii) > 0
	not own
}

# METADATA
# title: Credentials are removed
# description: API keys and other secrets never leave.
# custom:
#   code: remove_secrets
fired contains "content.remove_secrets" if count(input.content.secrets) > 0
