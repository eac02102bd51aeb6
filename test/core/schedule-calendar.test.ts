import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { compileCalendar, cronFields, readCron, readInterval } from '../../src/core/schedule-calendar.js';
import type { CalendarTimes } from '../../src/core/schedule-definition.js';

const compiled = (times: CalendarTimes) => {
  const { seconds, minutes, hours, daysOfMonth, months, daysOfWeek } = compileCalendar(times);
  return { seconds, minutes, hours, days: [...daysOfMonth], months: [...months], week: [...daysOfWeek] };
};
const minutes = (minute: string) => compileCalendar({ minute }).minutes;

describe('cron', () => {
  test('has words for what is common', () => {
    const words = Object.entries({
      '@yearly': '0 0 1 1 *',
      '@annually': '0 0 1 1 *',
      '@monthly': '0 0 1 * *',
      '@weekly': '0 0 * * 0',
      '@daily': '0 0 * * *',
      '@midnight': '0 0 * * *',
      '@hourly': '0 * * * *',
    });
    for (const [word, cron] of words) assert.deepEqual(readCron(` ${word} `), readCron(cron), word);
  });

  test('has five fields, six with a year, seven with seconds first', () => {
    const five = { minute: '1', hour: '2', dayOfMonth: '3', month: '4', dayOfWeek: '5', year: '*' };
    assert.deepEqual(readCron('1 2 3 4 5'), five);
    assert.deepEqual(readCron('  1  2 3\t4 5 '), five);
    assert.deepEqual(readCron('1 2 3 4 5 2030'), { ...five, year: '2030' });
    assert.deepEqual(readCron('7 1 2 3 4 5 2030'), { ...five, year: '2030', second: '7' });
    assert.throws(() => readCron('1'), {
      message:
        'it has 1 field; write five, such as "0 2 * * *", six with a year, or seven with seconds first',
    });
    assert.throws(() => readCron('1 2 3 4 5 6 7 8'), /^TypeError: it has 8 fields; /);
  });

  test('says neither its zone nor an interval', () => {
    assert.throws(() => readCron('CRON_TZ=UTC 0 2 * * *'), /the zone is said by timezone/);
    assert.throws(() => readCron('@every 5m'), { message: 'write every: instead of @every' });
    for (const last of ['TZ=UTC', '@every'])
      assert.throws(
        () => compileCalendar(readCron(`0 2 * * ${last}`)),
        new RegExp(`"${last}" is no day of week`),
      );
  });
});

describe('a calendar', () => {
  test('is at midnight of every day where it says nothing', () => {
    const { seconds, minutes, hours, days, months, week } = compiled({});
    assert.deepEqual([seconds, minutes, hours], [[0], [0], [0]]);
    assert.deepEqual([days.length, days[0], days.at(-1)], [31, 1, 31]);
    assert.deepEqual([months.length, months[0], months.at(-1)], [12, 1, 12]);
    assert.deepEqual(week, [0, 1, 2, 3, 4, 5, 6]);
    const { years } = compileCalendar({});
    assert.deepEqual([years.size, years.has(2000), years.has(2100)], [101, true, true]);
  });

  test('takes values, lists, ranges and steps, in order and each once', () => {
    assert.deepEqual(minutes('30, 5,10-12,11'), [5, 10, 11, 12, 30]);
    assert.deepEqual(minutes('*/20'), [0, 20, 40]);
    assert.deepEqual(minutes('50/4'), [50, 54, 58]);
    assert.deepEqual(minutes('1-9/4'), [1, 5, 9]);
    assert.deepEqual(minutes('7-7'), [7]);
    assert.deepEqual(compileCalendar({ minute: [40, 5], hour: 23 }).minutes, [5, 40]);
    for (const wrong of ['*/0', '*/1.5', '*/x', '*/2/3', '*/'])
      assert.throws(() => minutes(wrong), {
        message: `"${wrong}" is no minute; write such as "*", "1", "1-5", "1,3" or "*/2"`,
      });
    for (const wrong of ['5-4', '1-2-3'])
      assert.throws(() => minutes(wrong), {
        message: `"${wrong}" is no range of the minute: it ends before it begins`,
      });
    for (const wrong of ['', '60', '-', '1.5', ' ', 'a1', '1a'])
      assert.throws(() => minutes(wrong), /is no (range of the )?minute; it goes from 0 to 59$|ends before/);
    assert.throws(() => compileCalendar({ dayOfMonth: 0 }), {
      message: '"0" is no day of month; it goes from 1 to 31',
    });
  });

  test('takes months and days of the week by name, and Sunday by 0 or 7', () => {
    assert.deepEqual(compiled({ month: 'jan,DECEMBER,Sept' }).months, [1, 9, 12]);
    assert.deepEqual(compiled({ dayOfWeek: 'mo-fri' }).week, [1, 2, 3, 4, 5]);
    assert.deepEqual([compiled({ dayOfWeek: '7' }).week, compiled({ dayOfWeek: 'su' }).week], [[0], [0]]);
    for (const wrong of ['ja', 'j', 'janx', ''])
      assert.throws(() => compileCalendar({ month: wrong }), {
        message: `"${wrong}" is no month; it goes from 1 to 12, or by name`,
      });
    assert.throws(() => compileCalendar({ dayOfWeek: 's' }), /"s" is no day of week/);
  });

  test('names what it does not have', () => {
    const wrong: object = { minute: 1, day: 3 };
    assert.throws(() => compileCalendar(wrong), {
      message: 'a calendar has no "day"; it has second, minute, hour, dayOfMonth, month, dayOfWeek, year',
    });
  });

  test('is seven fields of cron', () => {
    assert.deepEqual(cronFields({}), ['0', '0', '0', '*', '*', '*', '*']);
    const all = { second: 1, minute: [2, 3], hour: '4-5', dayOfMonth: 6, month: 7, dayOfWeek: 1, year: 2030 };
    assert.deepEqual(cronFields(all), ['1', '2,3', '4-5', '6', '7', '1', '2030']);
  });
});

test('an interval is whole seconds, its offset less than itself', () => {
  assert.deepEqual(readInterval({ every: '1s' }), { everySeconds: 1, offsetSeconds: 0 });
  assert.deepEqual(readInterval({ every: '2m', offset: '119s' }), { everySeconds: 120, offsetSeconds: 119 });
  assert.throws(() => readInterval({ every: '1500ms' }), {
    message: 'every "1500ms" is no whole number of seconds; write "1s" or more',
  });
  assert.throws(() => readInterval({ every: '0s' }), /every "0s" is no whole number of seconds|duration/);
  for (const offset of ['2m', '3m', '1500ms'])
    assert.throws(() => readInterval({ every: '2m', offset }), {
      message: `offset "${offset}" must be whole seconds and less than every "2m"`,
    });
});
