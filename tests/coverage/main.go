// Coverage runs tests with the programs built so that they note which of their
// statements they execute, and compares two such runs.
//
//	go run ./tests/coverage run DIR COMMAND [ARG]...
//	go run ./tests/coverage compare OLDDIR NEWDIR
//
// DIR must be new, where every user may enter, and not below /tmp, which a boot
// empties: /var/tmp/coverage, say. Each go build and go test
// below COMMAND gets changed copies of what is in cmd and internal (go build
// -overlay); the tree itself knows nothing of this. Afterwards DIR/profile is
// for "go tool cover".
//
// Compare lists each statement that both trees have and only the first run
// executed. A statement is known by its function, the conditions around it and
// its first line; it may have moved.
//
// Go's own way (go build -cover) writes when a program exits, and these become
// others by execve(2), end by signals, and have no file system left. Here a
// statement sets a byte of a file that all programs have mapped. It is missed in
// a process that cannot open DIR: in a chroot, with no descriptor left, or on
// another kernel that is no User-Mode Linux of package vm.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	err := errors.New("usage: coverage run DIR COMMAND [ARG]... | coverage compare OLDDIR NEWDIR")
	switch args := os.Args[1:]; {
	case len(args) > 2 && args[0] == "run":
		err = run(args[1], args[2:])
	case len(args) == 3 && args[0] == "compare":
		err = compare(args[1], args[2])
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "coverage:", err)
		os.Exit(2)
	}
}

// run leaves a summary, and returns what became of the command.
func run(dir string, command []string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := prepare(dir); err != nil {
		return err
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	// Vet knows nothing of packages that an overlay alone has.
	cmd.Env = append(os.Environ(), "OPENRC_NETNS_COVER="+dir,
		"GOFLAGS="+os.Getenv("GOFLAGS")+" -vet=off -overlay="+dir+"/overlay.json")
	ended := cmd.Run()
	statements, err := read(dir)
	if err != nil {
		return err
	}
	return cmp.Or(writeProfile(dir, statements), ended)
}

// Names in the directory of a run: what the programs and what the tests of
// their packages executed, a byte for each statement, in the order of the list.
const (
	listName = "statements"
	programs = "programs"
	tests    = "tests"
)

//go:embed covered.go.txt
var covered string

// prepare fills the directory with what go build -overlay needs.
func prepare(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Path}} {{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	path, root, _ := strings.Cut(strings.TrimSpace(string(module)), " ")
	files, err := sources(root)
	if err != nil {
		return err
	}
	overlay := map[string]string{}
	replace := func(name, content string) error {
		overlay[name] = filepath.Join(dir, fmt.Sprint(len(overlay), ".go"))
		return os.WriteFile(overlay[name], []byte(content), 0o644)
	}
	var list strings.Builder
	count := 0
	for _, name := range files {
		short, _ := filepath.Rel(root, name)
		statements, content, err := instrument(path, short, name, count)
		if err != nil {
			return err
		}
		if err := replace(name, content); err != nil {
			return err
		}
		for _, s := range statements {
			fmt.Fprintf(&list, "%s\t%s\n", s.place, s.key)
		}
		count += len(statements)
	}
	text := fmt.Sprintf(covered, dir, count)
	if err := replace(filepath.Join(root, "internal/covered/covered.go"), text); err != nil {
		return err
	}
	how, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"overlay.json": how, listName: []byte(list.String()), programs: make([]byte, count), tests: make([]byte, count),
	} {
		name = filepath.Join(dir, name)
		if err := cmp.Or(os.WriteFile(name, content, 0o600), os.Chmod(name, 0o666)); err != nil {
			return err
		}
	}
	return nil
}

// sources are the files of the programs.
func sources(root string) (files []string, err error) {
	for _, pattern := range []string{"cmd/*/*.go", "internal/*/*.go"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	return slices.DeleteFunc(files, func(name string) bool { return strings.HasSuffix(name, "_test.go") }), nil
}

// statement is one that was, or was not, executed.
type statement struct {
	place           string // as a profile has it: file:line.column,line.column
	key             string
	program, inTest bool
}

// read reads a run.
func read(dir string) (all []statement, err error) {
	list, err := os.ReadFile(filepath.Join(dir, listName))
	if err != nil {
		return nil, err
	}
	byPrograms, err := os.ReadFile(filepath.Join(dir, programs))
	if err != nil {
		return nil, err
	}
	byTests, err := os.ReadFile(filepath.Join(dir, tests))
	if err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(list)); lines.Scan(); {
		place, key, _ := strings.Cut(lines.Text(), "\t")
		n := len(all)
		all = append(all, statement{place, key, byPrograms[n] != 0, byTests[n] != 0})
	}
	return all, nil
}

// writeProfile writes what "go tool cover" reads, and prints a line for each
// package.
func writeProfile(dir string, statements []statement) error {
	profile := bytes.NewBufferString("mode: set\n")
	type sum struct{ all, program, either int }
	sums := map[string]*sum{"": {}}
	for _, s := range statements {
		executed := s.program || s.inTest
		fmt.Fprintln(profile, s.place, 1, number(executed))
		name, _, _ := strings.Cut(s.place, ":")
		name = filepath.Dir(name)
		if sums[name] == nil {
			sums[name] = &sum{}
		}
		for _, sum := range []*sum{sums[""], sums[name]} {
			sum.all++
			sum.program += number(s.program)
			sum.either += number(executed)
		}
	}
	fmt.Printf("%-32s %10s %10s %16s\n", "", "statements", "programs", "and unit tests")
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		s := sums[name]
		fmt.Printf("%-32s %10d %9.1f%% %15.1f%%\n", cmp.Or(name, "all"), s.all, percent(s.program, s.all), percent(s.either, s.all))
	}
	return os.WriteFile(filepath.Join(dir, "profile"), profile.Bytes(), 0o644)
}

func percent(part, all int) float64 { return 100 * float64(part) / float64(max(all, 1)) }

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// found says how many statements there are of a key.
type found struct{ executed, all int }

func tally(statements []statement) map[string]found {
	sums := map[string]found{}
	for _, s := range statements {
		sum := sums[s.key]
		sums[s.key] = found{sum.executed + number(s.program || s.inTest), sum.all + 1}
	}
	return sums
}

// compare fails if something is covered no more.
func compare(oldDir, newDir string) error {
	before, err := read(oldDir)
	if err != nil {
		return err
	}
	after, err := read(newDir)
	if err != nil {
		return err
	}
	was, is := tally(before), tally(after)
	var common, gone, lost int
	for key, old := range was {
		common += min(old.all, is[key].all)
		gone += max(0, old.executed-is[key].all)
	}
	for _, s := range after {
		old, now := was[s.key], is[s.key]
		missing := min(old.executed, now.all) - now.executed
		if s.program || s.inTest || missing <= 0 {
			continue
		}
		lost++
		fmt.Printf("%s\t%s\n", s.place, s.key)
		// Of those with one key, each stands for one that is missing.
		is[s.key] = found{now.executed + 1, now.all}
	}
	fmt.Printf("%d statements before, %d after, %d the same; %d were covered and have gone; %d were covered and are not\n",
		len(before), len(after), common, gone, lost)
	if lost > 0 {
		return errors.New("the second run covers less")
	}
	return nil
}
