import type { Replacement, Scratch } from './scratch.ts';

/*
 * The changes of policies that the demo makes, in its own copy: a rule that saves money, first as one would write it and
 * then as it must be, and a list of courses that forgets one.
 */

export const ROUTING = 'policies/rules/routing/routing.rego';
const ROUTING_TEST = 'policies/rules/routing/routing_test.rego';
const SCENARIOS = 'policies/scenarios/routing.yaml';
export const ORGANIZATIONS = 'policies/organizations/data.yaml';

const CLOSED = 'closed if signals.yes_no\n';
const OPEN = 'open if {\n\tsignals.multiple_choice == false\n';

/** What is written first. It looks right. */
export const NAIVE = `
# An answer of a few tokens is no essay, whatever the question.
closed if short

default short := false

short if input.request.max_output_tokens <= 24
`;

/** What `aegis check` asks for. */
export const GUARDED: Replacement = [
  'short if input.request.max_output_tokens <= 24\n',
  'short if {\n\tis_number(input.request.max_output_tokens)\n\tinput.request.max_output_tokens <= 24\n}\n',
];

const UNIT_TEST = `
test_an_answer_of_a_few_tokens_goes_to_a_cheap_model if {
	decision := decide({"request": {"max_output_tokens": 24}})
	testing.models(decision)[0] == "gpt-5.4-nano"
	"routing.closed" in decision.rules
}

test_an_answer_without_a_bound_goes_to_a_strong_model if {
	first({"request": {"max_output_tokens": null}}) == "gpt-6-sol"
	first({"request": {"max_output_tokens": 25}}) == "gpt-6-sol"
}
`;

const SCENARIO = `---
name: A question to be answered in a few tokens goes to a cheap model
given:
  caller: { org: demo-university, team: cs101, user: sam, roles: [student] }
request:
  endpoint: chat.completions
  body:
    model: auto
    max_tokens: 16
    messages: [{ role: user, content: What is the capital of Australia? Answer with the name alone. }]
expect: { allow: true, model: gpt-5.4-nano, rules: [routing.closed] }
`;

/** Short answers count as closed questions: the rule as one would write it, its tests and its scenario. */
export const addShortAnswers = async ({ edit, append }: Scratch): Promise<void> => {
  await edit(ROUTING, [CLOSED, `${CLOSED}${NAIVE}`], [OPEN, OPEN.replace('{\n', '{\n\tshort == false\n')]);
  await append(ROUTING_TEST, UNIT_TEST);
  await append(SCENARIOS, SCENARIO);
};

/** The next term's courses of the extension school, without the one that its students take in the evening. */
export const FORGOTTEN: Replacement = [
  'EXT: { title: Extension School } # no list of courses: any course\n',
  'EXT: { title: Extension School, courses: { EXT100: true, EXT200: true } }\n',
];
