package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// events are what go test says of three suites: action, package, test, output.
func events(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	say := func(e event) {
		if err := encoder.Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range [][4]string{
		{"run", "a", "TestOne", ""}, {"run", "a", "TestOne/sub", ""},
		{"output", "a", "TestOne/sub", "=== RUN   TestOne/sub\n"},
		{"output", "a", "TestOne/sub", "    one_test.go:7: no such thing\n"},
		{"output", "a", "TestOne/sub", "    --- FAIL: TestOne/sub (0.05s)\n"},
		{"fail", "a", "TestOne/sub", ""}, {"fail", "a", "TestOne", ""},
		{"pass", "a", "TestTwo", ""}, {"fail", "a", "", ""},
		{"output", "b", "TestThree", "    b_test.go:9: left to make test-all\n"},
		{"skip", "b", "TestThree", ""}, {"pass", "b", "", ""},
		{"output", "e", "", "skipped: these tests need root\n"}, {"pass", "e", "", ""},
		{"run", "c", "TestFour", ""}, {"output", "c", "TestFour", "panic: no\n"}, {"fail", "c", "", ""},
	} {
		say(event{Action: e[0], Package: e[1], Test: e[2], Output: e[3], Elapsed: 1})
	}
	say(event{Action: "build-output", ImportPath: "d [d.test]", Output: "d.go:1: syntax error\n"})
	say(event{Action: "build-fail", ImportPath: "d [d.test]"})
	return text.String()
}

// What failed comes last, whatever was printed before, and each test that was
// not run is named with the reason.
func TestEnd(t *testing.T) {
	table := filepath.Join(t.TempDir(), "table")
	if err := os.WriteFile(table, []byte("the table\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	r := &run{out: &out, tests: map[string]*test{}}
	r.test("a", "").total = 3
	r.follow(strings.NewReader(events(t)))
	r.end(table)
	got := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d`).ReplaceAllString(out.String(), "TIME")
	const want = `TIME a: 0 of 3 tests, 1 parts: fail TestOne/sub, 1.0 s
=== RUN   TestOne/sub
    one_test.go:7: no such thing
    --- FAIL: TestOne/sub (0.05s)
TIME a: 1 of 3 tests, 1 parts: fail TestOne, 1.0 s
TIME a: fail, 2 of 3 tests, 1 s
TIME c: fail, 0 of 0 tests, 1 s
TIME d: fail, 0 of 0 tests, 0 s
TIME The suites:
a  fail  2 tests  0 skipped  1 s
b  pass  1 tests  1 skipped  1 s
c  fail  0 tests  0 skipped  1 s
d  fail  0 tests  0 skipped  0 s

the table

Skipped:
left to make test-all: TestThree
these tests need root: e

What failed:
d 
d.go:1: syntax error
a TestOne/sub
    one_test.go:7: no such thing
c TestFour
panic: no

1 passed, 3 failed, 1 skipped
`
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// A terminal has one line, which is written again.
func TestTerminal(t *testing.T) {
	var out strings.Builder
	r := &run{out: &out, terminal: true, tests: map[string]*test{}}
	r.follow(strings.NewReader(`{"Action":"pass","Package":"a","Test":"TestOne","Elapsed":2}
{"Action":"pass","Package":"a","Elapsed":2}
`))
	if want := "\ra: 1 of 1 tests, 0 parts: pass TestOne, 2.0 s"; !strings.HasPrefix(out.String(), want) || strings.Contains(out.String(), "\n") {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
