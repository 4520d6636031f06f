package aegis.traffic_test

import data.aegis.testing
import data.aegis.traffic

drawn(unit, salt, bucket) := result if {
	result := traffic.draw(unit, salt) with input as testing.request({"bucket": {unit: bucket}})
}

test_a_draw_is_the_same_each_time_and_another_with_another_salt if {
	drawn("user", 0, 7) == 2211
	drawn("user", 7, 1234) == ((1234 * 3243) + 7) % 10000
	drawn("user", 7, 1234) == drawn("org", 7, 1234)
	drawn("user", 7, 1234) != drawn("user", 8, 1234)
}

# A step without a divisor in common with 10,000 comes by every number once: so shares are what they say.
test_every_number_is_drawn_once if {
	every salt in array.concat(numbers.range(0, 50), [500, 998, 999]) {
		step := ((drawn("user", salt, 1) - drawn("user", salt, 0)) + 10000) % 10000
		step % 2 == 1
		step % 5 != 0
		drawn("user", salt, 9999) == ((9999 * step) + salt) % 10000
	}
}

test_a_list_that_is_not_there_leaves_nobody_out if {
	traffic.concerned({}) with input as testing.student
}

test_each_list_leaves_out_who_is_not_on_it if {
	every entry in [
		{"organizations": {"demo-university": true}},
		{"workflows": {"tutoring": true, "quiz": true}},
		{"tasks": {"open": true}},
		{"organizations": {"demo-university": true}, "workflows": {"tutoring": true}, "tasks": {"open": true}},
	] {
		traffic.concerned(entry) with input as testing.student
	}
	every entry in [
		{"organizations": {"demo-college": true}}, {"organizations": {}},
		{"workflows": {"quiz": true}}, {"workflows": {}},
		{"tasks": {"hard": true}}, {"tasks": {}},
		{"organizations": {"demo-university": true}, "workflows": {"quiz": true}},
	] {
		not traffic.concerned(entry) with input as testing.student
	}
}

# A call that names no workflow counts as the one of its credential or organisation.
test_the_workflow_is_the_one_that_the_call_counts_as if {
	unnamed := testing.request({"purpose": {"workflow": ""}})
	traffic.concerned({"workflows": {"assistant": true}}) with input as unnamed
}

test_of_whom_a_fact_is_missing_nothing_concerns if {
	every path in ["caller/org", "purpose/workflow", "content/signals/multiple_choice"] {
		less := json.remove(testing.student, [path])
		not traffic.concerned({}) with input as less
	}
}
