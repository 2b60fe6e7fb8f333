package torture

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// report counts what became of the launches, and keeps what must not be.
type report struct {
	mu         sync.Mutex
	seed       uint64
	runs       map[string]int            // by part
	classes    map[string]map[string]int // by part, then by class
	times      map[string]time.Duration
	violations map[string][]violation // by what was violated
	parts      []string
}

// violation is one launch that broke a promise. Its case is what -only takes.
type violation struct{ id, text string }

func newReport(seed uint64) *report {
	return &report{seed: seed, runs: map[string]int{}, classes: map[string]map[string]int{}, times: map[string]time.Duration{}, violations: map[string][]violation{}}
}

// count counts a launch. The part is the first word of id.
func (r *report) count(id, class string) {
	part, _, _ := strings.Cut(id, "/")
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.classes[part] == nil {
		r.classes[part] = map[string]int{}
		r.parts = append(r.parts, part)
	}
	r.runs[part]++
	r.classes[part][class]++
}

// broken counts a launch that broke a promise.
func (r *report) broken(id, promise, text string) {
	r.count(id, "VIOLATION: "+promise)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violations[promise] = append(r.violations[promise], violation{id, text})
}

func (r *report) took(part string, d time.Duration) { r.times[part] += d }

// print says how it went. Of violations of one kind it shows the first few, of
// different cases.
func (r *report) print(t *testing.T) {
	const shown = 12
	fmt.Printf("torture: seed %d\n", r.seed)
	for _, part := range r.parts {
		seconds := r.times[part].Seconds()
		fmt.Printf("%s: %d launches in %.0f s, %.0f a second\n", part, r.runs[part], seconds, float64(r.runs[part])/seconds)
		classes := r.classes[part]
		for _, class := range sortedByCount(classes) {
			fmt.Printf("%10d  %s\n", classes[class], class)
		}
	}
	for _, promise := range slices.Sorted(maps.Keys(r.violations)) {
		seen := map[string]bool{}
		for _, v := range r.violations[promise] {
			if seen[v.id] || len(seen) == shown {
				continue
			}
			seen[v.id] = true
			t.Errorf("%s: %s\n\trepeat: %s", promise, strings.TrimSpace(v.text), r.repeat(v.id))
		}
		if n := len(r.violations[promise]); n > len(seen) {
			t.Errorf("%s: %d launches in all", promise, n)
		}
	}
	if len(r.parts) == 0 {
		t.Errorf("-only %q names nothing that the attack has", *only)
	}
}

// repeat is the command that tries the case again. Races take luck; theirs
// attacks in the same way for a minute.
func (r *report) repeat(id string) string {
	return fmt.Sprintf("make torture TORTURE_S=60 TORTURE_ARGS='-seed %d -only %s'", r.seed, id)
}

func sortedByCount(classes map[string]int) []string {
	return slices.SortedFunc(maps.Keys(classes), func(a, b string) int {
		return cmp.Or(classes[b]-classes[a], strings.Compare(a, b))
	})
}

var (
	own     = regexp.MustCompile(`^[a-z]+[0-9]+: `) // a service of ours
	added   = regexp.MustCompile(`netns (add|delete) [a-z0-9]+`)
	quoted  = regexp.MustCompile(`"[^"]*"`)
	paths   = regexp.MustCompile(`/[^ ,:;)]+`)
	numbers = regexp.MustCompile(`[0-9]+`)
)

// messageClass is a message without the names in it.
func messageClass(text string) string {
	text = strings.TrimSpace(text)
	if line, _, more := strings.Cut(text, "\n"); more {
		text = line + " ..."
	}
	for _, name := range []string{"netns-exec: ", "openrc-netns-hook: "} {
		text = strings.TrimPrefix(text, name)
	}
	text = strings.ReplaceAll(text, bin, "")
	text = added.ReplaceAllString(text, "netns $1 ...")
	text = own.ReplaceAllString(text, "")
	text = quoted.ReplaceAllString(text, `"..."`)
	text = paths.ReplaceAllString(text, "PATH")
	return numbers.ReplaceAllString(text, "N")
}

// tracePatterns are what the Go runtime prints when it dies.
var tracePatterns = []string{"goroutine ", "fatal error", "runtime:", "panic:", "SIGSEGV"}

// isTrace reports whether the Go runtime has died with this on standard error.
func isTrace(stderr string) bool {
	return slices.ContainsFunc(tracePatterns, func(p string) bool { return strings.Contains(stderr, p) })
}
