// Coverage runs tests with the programs built so that they note which of their
// statements they execute.
//
//	go run ./tests/coverage DIR COMMAND [ARG]...
//
// DIR must be new, where every user may enter, and not below /tmp, which a boot
// empties: /var/tmp/coverage, say. Each go build and go test
// below COMMAND gets changed copies of what is in cmd and internal (go build
// -overlay); the tree itself knows nothing of this. Afterwards DIR/profile is
// for "go tool cover".
//
// Go's own way (go build -cover) writes when a program exits, and these become
// others by execve(2), end by signals, and have no file system left. Here a
// statement sets a byte of a file that all programs have mapped. It is missed in
// a process that cannot open DIR: in a chroot, with no descriptor left, or on
// another kernel that is no User-Mode Linux of package vm.
package main

import (
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
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: coverage DIR COMMAND [ARG]...")
		os.Exit(2)
	}
	err := run(os.Args[1], os.Args[2:])
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
	places, err := prepare(dir)
	if err != nil {
		return err
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	// Vet knows nothing of packages that an overlay alone has.
	cmd.Env = append(os.Environ(), "OPENRC_NETNS_COVER="+dir,
		"GOFLAGS="+os.Getenv("GOFLAGS")+" -vet=off -overlay="+dir+"/overlay.json")
	ended := cmd.Run()
	return cmp.Or(writeProfile(dir, places), ended)
}

// Names in the directory of a run: what the programs and what the tests of
// their packages executed, a byte for each statement.
const (
	programs = "programs"
	tests    = "tests"
)

//go:embed covered.go.txt
var covered string

// prepare fills the directory with what go build -overlay needs, and returns
// where the statements are.
func prepare(dir string) (places []string, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Path}} {{.Dir}}").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	path, root, _ := strings.Cut(strings.TrimSpace(string(module)), " ")
	files, err := sources(root)
	if err != nil {
		return nil, err
	}
	overlay := map[string]string{}
	replace := func(name, content string) error {
		overlay[name] = filepath.Join(dir, fmt.Sprint(len(overlay), ".go"))
		return os.WriteFile(overlay[name], []byte(content), 0o644)
	}
	for _, name := range files {
		short, _ := filepath.Rel(root, name)
		more, content, err := instrument(path, short, name, len(places))
		if err = cmp.Or(err, replace(name, content)); err != nil {
			return nil, err
		}
		places = append(places, more...)
	}
	text := fmt.Sprintf(covered, dir, len(places))
	if err := replace(filepath.Join(root, "internal/covered/covered.go"), text); err != nil {
		return nil, err
	}
	how, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return nil, err
	}
	for name, content := range map[string][]byte{
		"overlay.json": how, programs: make([]byte, len(places)), tests: make([]byte, len(places)),
	} {
		name = filepath.Join(dir, name)
		if err := cmp.Or(os.WriteFile(name, content, 0o600), os.Chmod(name, 0o666)); err != nil {
			return nil, err
		}
	}
	return places, nil
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

// writeProfile writes what "go tool cover" reads, and prints a line for each
// package.
func writeProfile(dir string, places []string) error {
	byPrograms, err := os.ReadFile(filepath.Join(dir, programs))
	if err != nil {
		return err
	}
	byTests, err := os.ReadFile(filepath.Join(dir, tests))
	if err != nil {
		return err
	}
	profile := bytes.NewBufferString("mode: set\n")
	type sum struct{ all, program, either int }
	sums := map[string]*sum{"": {}}
	for n, place := range places {
		executed := byPrograms[n] | byTests[n]
		fmt.Fprintln(profile, place, 1, executed)
		name, _, _ := strings.Cut(place, ":")
		name = filepath.Dir(name)
		if sums[name] == nil {
			sums[name] = &sum{}
		}
		for _, sum := range []*sum{sums[""], sums[name]} {
			sum.all++
			sum.program += int(byPrograms[n])
			sum.either += int(executed)
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
