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

	"openrc-netns/tests/internal/attack"
)

// report counts what became of the launches, and keeps what must not be.
type report struct {
	mu         sync.Mutex
	seed       uint64
	parts      []*part
	violations map[string][]violation // by what was violated
}

// part is one of the attack: its launches by class.
type part struct {
	name     string
	launches int
	classes  map[string]int
	time     time.Duration
}

// violation is one launch that broke a promise. Its case is what -only takes.
type violation struct{ id, text string }

// count counts a launch. The part is the first word of id.
func (r *report) count(id, class string) {
	name, _, _ := strings.Cut(id, "/")
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.parts, func(p *part) bool { return p.name == name })
	r.parts[i].launches++
	r.parts[i].classes[class]++
}

// judged counts a launch in a class, or, unless that is empty, as one that broke
// a promise.
func (r *report) judged(id, class, promise, text string) {
	if promise == "" {
		r.count(id, class)
	} else {
		r.broken(id, promise, text)
	}
}

// broken counts a launch that broke a promise.
func (r *report) broken(id, promise, text string) {
	r.count(id, "VIOLATION: "+promise)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violations[promise] = append(r.violations[promise], violation{id, text})
}

// failed notes what went wrong with the attack, and not with a launch.
func (r *report) failed(id string, err error) {
	r.broken(id, "the attack itself failed", err.Error())
}

// print says how it went. Of violations of one kind it shows the first few, of
// different cases.
func (r *report) print(t *testing.T) {
	const shown = 12
	fmt.Printf("torture: seed %d\n", r.seed)
	for _, p := range r.parts {
		seconds := p.time.Seconds()
		fmt.Printf("%s: %d launches in %.0f s, %.0f a second\n", p.name, p.launches, seconds, float64(p.launches)/seconds)
		byCount := func(a, b string) int { return cmp.Or(p.classes[b]-p.classes[a], strings.Compare(a, b)) }
		for _, class := range slices.SortedFunc(maps.Keys(p.classes), byCount) {
			fmt.Printf("%10d  %s\n", p.classes[class], class)
		}
	}
	for _, promise := range slices.Sorted(maps.Keys(r.violations)) {
		seen := map[string]bool{}
		for _, v := range r.violations[promise] {
			if seen[v.id] || len(seen) == shown {
				continue
			}
			seen[v.id] = true
			t.Errorf("%s: %s: %s\n\trepeat: %s", promise, v.id, strings.TrimSpace(v.text), r.repeat(v.id))
		}
		if n := len(r.violations[promise]); n > len(seen) {
			t.Errorf("%s: %d launches in all", promise, n)
		}
	}
	if !r.launched() {
		t.Errorf("nothing was launched: -only %q names nothing that the attack has, or the machine has too much to do", *attack.Only)
	}
}

// launched reports whether there was anything to judge.
func (r *report) launched() bool {
	return slices.ContainsFunc(r.parts, func(p *part) bool { return p.launches > 0 })
}

// repeat is the command that tries the case again. Races take luck; theirs
// attacks in the same way for a minute.
func (r *report) repeat(id string) string {
	return fmt.Sprintf("make torture TORTURE_S=60 TORTURE_ARGS='-seed %d -only %s'", r.seed, id)
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
	text = firstLine(text)
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
