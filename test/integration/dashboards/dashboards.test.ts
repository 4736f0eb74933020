import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { MetricDefinition } from '../../../src/metrics/definitions.ts';
import { METRICS } from '../../../src/metrics/definitions.ts';
import { Metrics } from '../../../src/metrics/metrics.ts';

const DASHBOARDS = fileURLToPath(new URL('../../../dashboards/', import.meta.url));
const RUNBOOK = fileURLToPath(new URL('../../../docs/runbook.md', import.meta.url));
const RULES = filesIn('prometheus/rules');
const RULE_TESTS = filesIn('prometheus/tests');
const GRAFANA = filesIn('grafana/dashboards');

/** `PROMTOOL` names another binary than the one on the path. */
const PROMTOOL = process.env['PROMTOOL'] ?? 'promtool';
const hasPromtool = spawnSync(PROMTOOL, ['--version']).status === 0;
if (!hasPromtool) {
  console.warn(`SKIPPED: ${PROMTOOL} is not there, so the Prometheus rules are not tested. Install it: apt-get install prometheus, or set PROMTOOL.`);
}

interface Rule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
}

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string }[];
}

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
}

function filesIn(folder: string): string[] {
  return readdirSync(join(DASHBOARDS, folder)).map((file) => join(DASHBOARDS, folder, file));
}

function rules(): Rule[] {
  return RULES.flatMap((file) => (parse(readFileSync(file, 'utf8')) as { groups: { rules: Rule[] }[] }).groups.flatMap((group) => group.rules));
}

function dashboards(): Dashboard[] {
  return GRAFANA.map((file) => JSON.parse(readFileSync(file, 'utf8')) as Dashboard);
}

/** Every name in `expr` that could be one of ours, recorded or exported. */
function namesIn(expr: string): string[] {
  return (expr.match(/[a-zA-Z_:][a-zA-Z0-9_:]*/g) ?? []).filter((name) => name.includes('lockstep_') || /^(nodejs|process)_/.test(name));
}

function promtool(...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(PROMTOOL, args, { encoding: 'utf8' });
  return { status, output: `${stdout}${stderr}` };
}

function seriesOf(metric: MetricDefinition): string[] {
  return metric.type === 'histogram' ? ['_bucket', '_sum', '_count'].map((suffix) => metric.name + suffix) : [metric.name];
}

describe('Prometheus', () => {
  it.skipIf(!hasPromtool)('accepts the configuration and the rules', () => {
    const config = promtool('check', 'config', join(DASHBOARDS, 'prometheus/prometheus.yml'));
    expect(config.status, config.output).toBe(0);
    const checked = promtool('check', 'rules', ...RULES);
    expect(checked.status, checked.output).toBe(0);
  });

  it.skipIf(!hasPromtool)('fires and does not fire as the rule tests say', () => {
    const tested = promtool('test', 'rules', ...RULE_TESTS);
    expect(tested.status, tested.output).toBe(0);
  });

  it.skipIf(!hasPromtool)('can parse every query of the dashboards', () => {
    const queries = dashboards().flatMap((dashboard) => dashboard.panels.flatMap((panel) => panel.targets ?? []));
    const folder = mkdtempSync(join(tmpdir(), 'lockstep-dashboards-'));
    try {
      const file = join(folder, 'queries.yml');
      const asRules = queries.map(({ expr }, index) => ({ record: `query:${index}`, expr: expr.replaceAll('$__rate_interval', '5m') }));
      writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboards', rules: asRules }] }));
      const checked = promtool('check', 'rules', file);
      expect(checked.status, checked.output).toBe(0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.skipIf(!hasPromtool)('finds nothing to complain about in what Metrics exports', async () => {
    const metrics = new Metrics({ tables: ['public.payments'], lagBudgetMs: 5_000, lagObjective: 0.999, sweepMaxAgeMs: 1_000, version: '1' });
    const ours = (await metrics.render(null)).split('\n').filter((line) => line.includes('lockstep_'));
    const { status, stdout, stderr } = spawnSync(PROMTOOL, ['check', 'metrics'], { encoding: 'utf8', input: `${ours.join('\n')}\n` });
    expect(status, `${stdout}${stderr}`).toBe(0);
  });

  it('has a severity, a summary and a runbook section on every alert', () => {
    const runbook = existsSync(RUNBOOK) ? readFileSync(RUNBOOK, 'utf8') : null;
    if (runbook === null) console.warn('SKIPPED: docs/runbook.md is not there, so the alerts\' links into it are not tested.');
    for (const rule of rules()) {
      if (rule.alert === undefined) continue;
      expect(['warning', 'critical'], rule.alert).toContain(rule.labels?.['severity']);
      expect(rule.annotations?.['summary'], rule.alert).toBeTruthy();
      expect(rule.annotations?.['description'], rule.alert).toBeTruthy();
      const anchor = /^docs\/runbook\.md#([a-z0-9-]+)$/.exec(rule.annotations?.['runbook_url'] ?? '')?.[1];
      expect(anchor, rule.alert).toBeDefined();
      if (runbook !== null) expect(anchorsOf(runbook), rule.alert).toContain(anchor);
    }
  });

  it('tests every alert', () => {
    const tests = RULE_TESTS.map((file) => readFileSync(file, 'utf8')).join('\n');
    for (const { alert } of rules()) if (alert !== undefined) expect(tests).toContain(alert);
  });
});

describe('Grafana', () => {
  it('has dashboards whose panels are told apart, described and do not overlap', () => {
    expect(dashboards()).not.toHaveLength(0);
    for (const { uid, panels, title } of dashboards()) {
      expect(uid).toMatch(/^lockstep/);
      expect(new Set(panels.map((panel) => panel.id)).size, title).toBe(panels.length);
      const taken = new Set<string>();
      for (const { title: name, type, description, gridPos, targets } of panels) {
        expect(gridPos.x + gridPos.w, name).toBeLessThanOrEqual(24);
        for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
          for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
            expect(taken.has(`${x}/${y}`), `${name} overlaps`).toBe(false);
            taken.add(`${x}/${y}`);
          }
        }
        if (type !== 'row') {
          expect(description, name).toBeTruthy();
          expect(targets, name).not.toHaveLength(0);
        }
      }
    }
  });
});

describe('metrics of dashboards and rules', () => {
  const expressions = [
    ...rules().map((rule) => rule.expr),
    ...dashboards().flatMap((dashboard) => [
      ...dashboard.panels.flatMap((panel) => (panel.targets ?? []).map((target) => target.expr)),
      ...dashboard.templating.list.map((variable) => variable.definition ?? ''),
    ]),
  ];
  const used = new Set(expressions.flatMap(namesIn));

  it('mention only what Metrics exports or a rule records', async () => {
    const metrics = new Metrics({ tables: ['public.payments'], lagBudgetMs: 5_000, lagObjective: 0.999, sweepMaxAgeMs: 1_000, version: '1' });
    const processes = [...(await metrics.render(null)).matchAll(/^# TYPE ((?:nodejs|process)_\S+)/gm)].map((match) => match[1]);
    const known = new Set([...Object.values<MetricDefinition>(METRICS).flatMap(seriesOf), ...processes, ...rules().flatMap((rule) => rule.record ?? [])]);
    expect([...used].filter((name) => !known.has(name))).toEqual([]);
  });

  it('leave out nothing that Metrics defines', () => {
    const unused = Object.values<MetricDefinition>(METRICS).filter((metric) => !seriesOf(metric).some((series) => used.has(series)));
    expect(unused.map((metric) => metric.name)).toEqual([]);
  });
});

/** Section anchors as GitHub makes them. */
function anchorsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map((match) => (match[1] as string).toLowerCase().replaceAll(/[^\p{L}\p{N}\s-]/gu, '').trim().replaceAll(/\s/g, '-'));
}
