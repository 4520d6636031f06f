# METADATA
# title: Tools
# description: Which of the offered tools a model may not use.
package rules.tools

import data.aegis.caller

default granted := false

granted if {
	is_array(input.request.tools)
	is_array(remove)
}

remove := [] if input.request.tools == []

remove := sort({name |
	some name in input.request.tools
	caller.organization.forbidden_tools[name]
}) if {
	input.request.tools != []
}

# METADATA
# title: Forbidden tools are taken out
# description: A tool that the organisation forbids is removed from the request; the rest goes on.
# custom:
#   code: forbidden_tool
fired contains "tools.forbidden_tool" if count(remove) > 0
