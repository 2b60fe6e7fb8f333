// Mutate changes the programs and the shell library in one place after the
// other, and finds out whether the tests notice.
//
//	go run ./tests/mutate [OPTION]... [COMMAND]...
//
// Each COMMAND is for the shell, in a clone of HEAD; the first that fails kills
// the mutation, and those after it are not run. Without one it is "make test".
// The cheapest come first:
//
//	go run ./tests/mutate 'go test -short -failfast ./internal/... ./tests/cli' 'make test'
//
// Mutations are of what a confined start or stop passes, chosen by the seed, at
// most one of a function; those that do not compile are left out. With -profile,
// which "go run ./tests/coverage run" leaves, they are of statements that were
// executed.
//
// The list of those that have survived is for -from, here or in another tree
// that has the same text, to find out whether its tests notice.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

var (
	seed      = flag.Uint64("seed", 1, "chooses the mutations")
	count     = flag.Int("n", 50, "how many")
	profile   = flag.String("profile", "", "coverage `file`: mutate what was executed")
	from      = flag.String("from", "", "`file` with the mutations, in place of seed and n")
	survivors = flag.String("survivors", "", "`file` to list in what has survived")
	limit     = flag.Duration("limit", time.Hour, "for all commands of a mutation; it is killed by that too")
)

// mutation replaces whole lines of a file.
type mutation struct {
	File   string
	Line   int // the first of them
	Before string
	After  string
	Where  string // the function
}

func (m mutation) String() string {
	short := func(text string) string {
		text = strings.Join(strings.Fields(text), " ")
		return text[:min(len(text), 120)]
	}
	return fmt.Sprintf("%s:%d\n\t- %s\n\t+ %s", m.File, m.Line, short(m.Before), short(m.After))
}

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, commands []string) error {
	if len(commands) == 0 {
		commands = []string{"make test"}
	}
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if out, err := exec.CommandContext(ctx, "git", "clone", "-q", "--shared", ".", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("git clone: %w\n%s", err, out)
	}
	c := clone{dir}
	choose := c.choose
	if *from != "" {
		choose = readList
	}
	mutations, err := choose()
	if err != nil {
		return err
	}
	var alive []mutation
	tried := 0
	mutated := map[string]bool{} // functions
	for _, m := range mutations {
		function := m.File + " " + m.Where
		if tried == *count || ctx.Err() != nil {
			break
		}
		if *from == "" && mutated[function] {
			continue
		}
		fate, compiled, err := c.try(ctx, m, commands)
		if err != nil {
			return err
		}
		if !compiled || ctx.Err() != nil {
			continue
		}
		tried++
		mutated[function] = true
		fmt.Printf("%d %v\n\t%s\n", tried, m, fate)
		if strings.HasPrefix(fate, survived) {
			alive = append(alive, m)
		}
	}
	fmt.Printf("%d mutations, %d survived\n", tried, len(alive))
	if *survivors != "" {
		var b bytes.Buffer
		for _, m := range alive {
			if err := json.NewEncoder(&b).Encode(m); err != nil {
				return err
			}
		}
		return os.WriteFile(*survivors, b.Bytes(), 0o644)
	}
	return ctx.Err()
}

// clone is the folder of the clone.
type clone struct{ dir string }

// files are of what each confined start and stop passes.
var files = []string{
	"cmd/netns-exec/*.go", "cmd/openrc-netns-hook/*.go",
	"internal/launch/*.go", "internal/namespace/*.go", "internal/mounts/*.go", "internal/vrf/*.go", "internal/openrc/*.go",
	"internal/inherited/*.go", "internal/privilege/*.go", "internal/cgroup/*.go", "internal/serviceconf/*.go",
	"openrc/50-netns.conf", "openrc/*.sh",
}

// choose returns all possible mutations in an order that the seed gives, at
// first with one of the shell for three of Go.
func (c clone) choose() ([]mutation, error) {
	executed := func(string, int) bool { return true }
	if *profile != "" {
		var err error
		if executed, err = readProfile(*profile); err != nil {
			return nil, err
		}
	}
	var goes, shells []mutation
	for _, pattern := range files {
		names, err := filepath.Glob(filepath.Join(c.dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			content, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			short, _ := filepath.Rel(c.dir, name)
			switch {
			case strings.HasSuffix(name, "_test.go"):
			case strings.HasSuffix(name, ".go"):
				found, err := ofGo(short, string(content))
				if err != nil {
					return nil, err
				}
				goes = append(goes, slices.DeleteFunc(found, func(m mutation) bool { return !executed(short, m.Line) })...)
			default:
				shells = append(shells, ofShell(short, string(content))...)
			}
		}
	}
	random := rand.New(rand.NewPCG(*seed, 0))
	for _, some := range [][]mutation{goes, shells} {
		random.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	}
	var all []mutation
	for len(goes) > 0 {
		n, s := min(3, len(goes)), min(1, len(shells))
		all = append(append(all, goes[:n]...), shells[:s]...)
		goes, shells = goes[n:], shells[s:]
	}
	return append(all, shells...), nil
}

// readProfile tells on which lines statements begin that were executed.
func readProfile(name string) (func(file string, line int) bool, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	block := regexp.MustCompile(`(?m)^[^/]*/(.*):(\d+)\.\d+,\d+\.\d+ \d+ [1-9]\d*$`)
	executed := map[string]bool{}
	for _, found := range block.FindAllStringSubmatch(string(content), -1) {
		executed[found[1]+":"+found[2]] = true
	}
	return func(file string, line int) bool { return executed[fmt.Sprint(file, ":", line)] }, nil
}

func readList() (all []mutation, err error) {
	file, err := os.Open(*from)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for decoder := json.NewDecoder(file); ; {
		var m mutation
		if err := decoder.Decode(&m); err != nil {
			if err == io.EOF {
				return all, nil
			}
			return nil, err
		}
		all = append(all, m)
	}
}

const survived = "SURVIVED"

// try tells what became of a mutation. The clone is then as it was.
func (c clone) try(ctx context.Context, m mutation, commands []string) (fate string, compiled bool, err error) {
	path := filepath.Join(c.dir, m.File)
	content, err := os.ReadFile(path)
	if err != nil && *from == "" {
		return "", false, err
	}
	changed, found := apply(string(content), m)
	if !found {
		return "ABSENT: this tree has no such text", true, nil
	}
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		return "", false, err
	}
	defer os.WriteFile(path, content, 0o644)
	compile := "make -s build"
	if !strings.HasSuffix(m.File, ".go") {
		compile += " && sh -n " + m.File
	}
	if _, err := c.sh(ctx, compile); err != nil {
		return "", false, ctx.Err()
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	fate = survived
	for _, command := range commands {
		if out, err := c.sh(ctx, command); err != nil {
			fate = fmt.Sprintf("killed by %s (%s)", culprit(out, err), command)
			break
		}
	}
	return fmt.Sprintf("%s, %.0f s", fate, time.Since(start).Seconds()), true, nil
}

// apply replaces the text that is nearest to where it is expected.
func apply(content string, m mutation) (string, bool) {
	best, distance := -1, 0
	for at := 0; ; at++ {
		next := strings.Index(content[at:], m.Before)
		if next < 0 {
			break
		}
		at += next
		line := 1 + strings.Count(content[:at], "\n")
		if d := max(line-m.Line, m.Line-line); (best < 0 || d < distance) && (at == 0 || content[at-1] == '\n') {
			best, distance = at, d
		}
	}
	if best < 0 {
		return "", false
	}
	return content[:best] + m.After + content[best+len(m.Before):], true
}

// sh runs a command in the clone. What a mutation mounts the host does not see.
func (c clone) sh(ctx context.Context, command string) (string, error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Dir = c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Unshareflags: syscall.CLONE_NEWNS}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Minute
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return string(out), err
}

// culprit is the first test that has failed, the innermost one, else the
// package, else what was said last.
func culprit(out string, err error) string {
	for _, pattern := range []string{`(?m)^ +--- FAIL: (\S+)`, `(?m)^--- FAIL: (\S+)`, `(?m)^FAIL\s+(\S+)`} {
		if found := regexp.MustCompile(pattern).FindStringSubmatch(out); found != nil {
			return found[1]
		}
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return fmt.Sprintf("%v: %s", err, lines[len(lines)-1])
}
