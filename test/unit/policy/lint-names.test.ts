import { describe, expect, test } from '@jest/globals';
import { lintFiles, lintRules, ruleOf } from '../../support/lint-fixture.ts';

describe('names in rules that are nowhere', () => {
  test.each([
    ['a role in the caller’s', '"studnet" in input.caller.roles'],
    ['a role, compared with any of the caller’s', 'input.caller.roles[_] == "studnet"'],
    ['a role by the name of a variable', 'some role in input.caller.roles\n\trole == "studnet"'],
    ['a role as a key of the data', 'data.roles["studnet"].classes.cheap'],
    ['a role as a key of a workflow’s roles', 'data.workflows[input.purpose.workflow].roles.studnet'],
    ['a workflow', 'input.purpose.workflow == "tutor"'],
    ['a workflow in a set', 'input.purpose.workflow in {"tutoring", "tutor"}'],
    ['an organisation', 'input.caller.org != "demmo"'],
    ['a team', 'input.caller.team == "bleu"'],
    ['a team below an organisation', 'data.organizations.demo.teams.bleu'],
    ['a tier', 'caller.organization.tier == "fre"'],
    ['a tier as a key', 'data.tiers.fre.max_output_tokens > 1'],
    ['a model that is asked for', 'input.request.model == "smal"'],
    ['a model as a key', 'data.models.smal'],
    ['an upstream', 'input.upstreams["locl"].state == "up"'],
    ['an upstream of an organisation', 'caller.organization.upstreams.locl'],
    ['an entity', 'input.content.pii.emial'],
    ['a kind of credential found', 'input.content.secrets.apikey'],
    ['a kind of content', '"imge" in input.content.modalities'],
    ['a kind of part', 'some part in input.content.uninspected\n\tpart.kind == "imge"'],
    ['an operation of an upstream', '"chat" in input.upstreams[_].endpoints'],
    ['a candidate’s model', 'caller.team\n\tcaller.chats == {"model": "smal", "upstream": "local"}'],
    ['a field of a row', 'caller.organization.team_optionl'],
    ['a field of each row', 'some role in caller.roles\n\trole.act_for_user'],
    ['a field of a row by key', 'data.tiers[caller.organization.tier].max_output'],
    ['a table', 'data.exmas[input.caller.team].from'],
    ['a row of a table that the schema does not know', 'data.exams.red.from'],
    ['a rule of another package', 'data.rules.acess.granted'],
    ['a rule of an imported package', 'caller.chat'],
  ])('finds %s', async (_, conditions) => {
    const rule = ruleOf(conditions);
    const lines = rule.split('\n').length - 1;
    expect(await lintRules(rule)).toEqual([`${lines} reference`]);
  });

  test.each([
    [
      'names that are there',
      '"student" in input.caller.roles\n\tdata.roles.student.classes.cheap\n\tdata.models.small',
    ],
    ['words of the gateway’s own', 'input.request.model in {"auto", ""}\n\tinput.purpose.workflow != ""'],
    ['what the schema allows and no row has', 'caller.organization.team_optional\n\tdata.default_prices.input > 1'],
    ['a class that the schema knows', 'some role in caller.roles\n\trole.classes.frontier'],
    ['a look-up by what the input says', 'data.roles[input.caller.roles[0]].endpoints[input.request.endpoint]'],
    ['another platform’s free words', 'input.purpose.use_case == "anything"\n\tinput.purpose.tags.course == "x"'],
    ['a table of its own', 'data.exams[input.caller.team].from < input.request.time'],
    ['a variable that has the name of a table', 'roles := {"studnet": true}\n\troles.studnet'],
    ['a rule that has two bodies', 'words.any == "x"'],
  ])('accepts %s', async (_, conditions) => {
    const words = 'words := input.purpose.tags if caller.team\n\nwords := input.request.headers if not caller.team\n';
    expect(await lintRules(`${ruleOf(conditions)}\n\n${words}`)).toEqual([]);
  });

  test('says the name, where it is looked for, and which are there', async () => {
    const [remark] = await lintFiles({
      'rules/x/x.rego': 'package rules.x\n\ndefault granted := false\n\ngranted if "studnet" in input.caller.roles\n',
    });
    expect(remark).toEqual({
      file: 'rules/x/x.rego',
      line: 5,
      column: 12,
      check: 'reference',
      why: '"studnet" is not in roles',
      fix: 'use one of student, or add it there',
    });
  });

  test('warns of a model that is named in a rule and retired', async () => {
    expect(await lintRules(ruleOf('input.request.model == "old"'))).toEqual(['2 deprecated-model']);
  });
});
