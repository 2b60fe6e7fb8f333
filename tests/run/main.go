// Command run runs "go test -json" and says how far that is; at the end it has
// a table of the suites, what was skipped and why, and what failed.
//
//	go run ./tests/run [-table FILE] go test [-FLAG=VALUE]... PACKAGE...
//
// A terminal gets a line that is written again and again, a log a line for each
// suite and for each test that takes its time. FILE, if there is one by then,
// is printed before what was skipped. The exit status is that of the command.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	table := flag.String("table", "", "print this file at the end")
	flag.Parse()
	if flag.NArg() < 2 {
		fmt.Fprintln(os.Stderr, "usage: run [-table FILE] go test [FLAG]... PACKAGE...")
		os.Exit(2)
	}
	info, err := os.Stdout.Stat()
	r := &run{out: os.Stdout, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0, tests: map[string]*test{}}
	command := flag.Args()
	r.count(command)
	cmd := exec.Command(command[0], slices.Insert(slices.Clone(command[1:]), 1, "-json")...)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "run:", err)
		os.Exit(1)
	}
	r.follow(events)
	err = cmd.Wait()
	r.end(*table)
	if err != nil {
		os.Exit(max(1, cmd.ProcessState.ExitCode()))
	}
}

// event is one of "go doc test2json", or of a build.
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64 // seconds
}

// test is a test, or, without a name, a suite: all tests of a package.
type test struct {
	suite, name    string
	result         string // pass, fail or skip
	took           float64
	output         []string
	skipped, total int // of a suite: top-level tests
	done, subtests int
}

type run struct {
	out      io.Writer
	terminal bool
	tests    map[string]*test
	order    []*test
	suites   []*test
	length   int // of the line on the terminal
}

// count learns how many tests each suite has. A suite of which that cannot be
// told has as many as have been seen.
func (r *run) count(command []string) {
	list := []string{"list", "-f", "{{$p := .}}{{range .TestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}\n{{end}}{{range .XTestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}\n{{end}}"}
	for _, arg := range command[2:] {
		if arg == "-args" {
			break
		}
		if !strings.HasPrefix(arg, "-") {
			list = append(list, arg)
		}
	}
	files, err := exec.Command(command[0], list...).Output()
	if err != nil {
		return // go test says why
	}
	declared := regexp.MustCompile(`(?m)^func Test[A-Z]\w*\(\w+ \*testing\.T\)`)
	for line := range strings.Lines(string(files)) {
		suite, file, found := strings.Cut(strings.TrimSpace(line), " ")
		if text, err := os.ReadFile(file); found && err == nil {
			r.test(suite, "").total += len(declared.FindAll(text, -1))
		}
	}
}

func (r *run) test(suite, name string) *test {
	key := suite + " " + name
	t := r.tests[key]
	if t == nil {
		t = &test{suite: suite, name: name}
		r.tests[key] = t
		if name == "" {
			r.suites = append(r.suites, t)
		} else {
			r.order = append(r.order, t)
		}
	}
	return t
}

func (r *run) follow(events io.Reader) {
	decoder := json.NewDecoder(events)
	for {
		var e event
		if err := decoder.Decode(&e); err != nil {
			return // the end, or what go test says itself
		}
		t := r.test(cmp.Or(e.Package, strings.Fields(e.ImportPath + " ?")[0]), e.Test)
		switch e.Action {
		case "output", "build-output":
			t.output = append(t.output, e.Output)
		case "pass", "fail", "skip", "build-fail":
			t.result, t.took = strings.TrimPrefix(e.Action, "build-"), e.Elapsed
			r.ended(t)
		}
	}
}

// slow is the number of seconds from which on a test has a line in a log.
const slow = 5

func (r *run) ended(t *test) {
	suite := r.test(t.suite, "")
	short := strings.TrimPrefix(t.suite, "openrc-netns/")
	switch {
	case t == suite:
		if t.total > 0 || t.result == "fail" {
			r.say("%s: %s, %d of %d tests, %.0f s", short, t.result, t.done, max(t.done, t.total), t.took)
		}
		return
	case strings.Contains(t.name, "/"):
		suite.subtests++
	default:
		suite.done++
		if t.result == "skip" {
			suite.skipped++
		}
	}
	line := fmt.Sprintf("%s: %d of %d tests, %d parts: %s %s, %.1f s",
		short, suite.done, max(suite.done, suite.total), suite.subtests, t.result, t.name, t.took)
	switch {
	case t.result == "fail":
		r.say("%s\n%s", line, strings.Join(t.output, ""))
	case r.terminal:
		const width = 79
		line = line[:min(len(line), width)]
		fmt.Fprintf(r.out, "\r%-*s", r.length, line)
		r.length = len(line)
	case t.took >= slow:
		r.say("%s", line)
	}
}

// say prints a line that stays.
func (r *run) say(format string, args ...any) {
	text := strings.TrimSuffix(fmt.Sprintf(format, args...), "\n")
	if r.length > 0 {
		fmt.Fprintf(r.out, "\r%*s\r", r.length, "")
		r.length = 0
	}
	fmt.Fprintf(r.out, "%s %s\n", time.Now().Format("15:04:05"), text)
}

// end prints what is left to say, the most important last.
func (r *run) end(table string) {
	r.say("The suites:")
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	slices.SortStableFunc(r.suites, func(a, b *test) int { return cmp.Compare(a.suite, b.suite) })
	for _, s := range r.suites {
		if s.done > 0 || s.result == "fail" {
			fmt.Fprintf(w, "%s\t%s\t%d tests\t%d skipped\t%.0f s\n", strings.TrimPrefix(s.suite, "openrc-netns/"), s.result, s.done, s.skipped, s.took)
		}
	}
	w.Flush()
	if text, err := os.ReadFile(table); err == nil {
		fmt.Fprintf(r.out, "\n%s", text)
	}

	why := map[string][]string{}
	var failed []*test
	counts := map[string]int{}
	for _, t := range append(slices.Clone(r.suites), r.order...) {
		if t.name != "" {
			counts[t.result]++
		}
		_, whole, _ := strings.Cut(strings.Join(t.said(), ""), "skipped: ")
		whole, _, _ = strings.Cut(whole, "\n")
		switch {
		case t.name == "" && whole != "": // TestMain can run none
			why[whole] = append(why[whole], strings.TrimPrefix(t.suite, "openrc-netns/"))
		case t.name != "" && t.result == "skip":
			reason, _, _ := strings.Cut(strings.Join(t.said(), ""), "\n") // "	file_test.go:7: the reason"
			_, text, _ := strings.Cut(reason, ".go:")
			_, text, _ = strings.Cut(text, ": ")
			reason = cmp.Or(text, strings.TrimSpace(reason), "without a reason")
			why[reason] = append(why[reason], t.name)
		case t.result == "fail", t.name != "" && t.result == "":
			failed = append(failed, t)
		}
	}
	failed = blamed(failed)
	if len(why) > 0 {
		fmt.Fprintln(r.out, "\nSkipped:")
	}
	for _, reason := range slices.Sorted(maps.Keys(why)) {
		fmt.Fprintf(r.out, "%s: %s\n", reason, strings.Join(why[reason], ", "))
	}
	if len(failed) > 0 {
		fmt.Fprintln(r.out, "\nWhat failed:")
	}
	for _, t := range failed {
		const most = 8 // lines
		said := t.said()
		fmt.Fprintf(r.out, "%s %s\n%s", strings.TrimPrefix(t.suite, "openrc-netns/"), t.name, strings.Join(said[:min(len(said), most)], ""))
	}
	fmt.Fprintf(r.out, "\n%d passed, %d failed, %d skipped\n", counts["pass"], len(failed), counts["skip"])
}

// said is what the test itself printed.
func (t *test) said() []string {
	return slices.DeleteFunc(slices.Clone(t.output), func(line string) bool {
		return strings.HasPrefix(line, "=== ") || strings.HasPrefix(strings.TrimSpace(line), "--- ")
	})
}

// blamed leaves out what failed because a part of it did.
func blamed(failed []*test) []*test {
	return slices.DeleteFunc(slices.Clone(failed), func(t *test) bool {
		return slices.ContainsFunc(failed, func(part *test) bool {
			return part.suite == t.suite && part != t && (t.name == "" || strings.HasPrefix(part.name, t.name+"/"))
		})
	})
}
