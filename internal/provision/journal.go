package provision

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"openrc-netns/internal/files"
	"openrc-netns/internal/mounts"
	"openrc-netns/internal/namespace"
)

// journalDir has a directory for the journal of each namespace. It does not
// belong to OpenRC, which drops what it knows of a service that is zapped,
// interrupted or fails to start.
const journalDir = mounts.RunDir

// journal is what Up did to a namespace.
type journal struct {
	path string // a file in a directory of its own
	// id is the namespace; zero while there is nothing to undo.
	id namespace.ID
	// made says that Up made the namespace.
	made  bool
	steps []step
}

// step is one change; what the words are depends on the first.
type step struct {
	kind  string
	words [3]string
}

// Kinds of steps, and their words. Addresses and routes are none: they go with
// their interface, or when it is moved.
const (
	loopback  = "loopback"  // none
	moved     = "moved"     // name outside, name inside, hardware address
	sysctl    = "sysctl"    // key, old value
	wireguard = "wireguard" // name
	veth      = "veth"      // name inside, name outside, hardware address outside
	resolver  = "resolver"  // none
)

var kinds = []string{loopback, moved, sysctl, wireguard, veth, resolver}

// undoStep undoes one step; kept says that the namespace stays though Up made
// it.
func (j *journal) undoStep(s step, ns both, kept bool, tell func(string)) error {
	switch s.kind {
	case moved:
		return moveOut(ns, Interface{s.words[0], s.words[1]}, s.words[2], tell)
	case wireguard:
		return deleteWireGuard(ns, j.name(), s.words[0], tell)
	case veth:
		return deleteVeth(ns, Veth{s.words[1], s.words[0]}, s.words[2], tell)
	case resolver:
		if kept {
			return nil // the next start writes it or removes it
		}
		return removeResolvConf(j.name())
	}
	switch {
	case ns.inside == nil || j.made && !kept:
		return nil // it goes, or has gone, with the namespace
	case s.kind == sysctl:
		return ns.inside.Do(func() error { return restoreSysctl(s.words[0], s.words[1], tell) })
	case kept:
		return nil // who lives there has found the loopback up
	}
	return ns.inside.Do(loopbackDown)
}

// undo undoes the steps that are chosen, the last one first, and takes them out
// of the journal. What cannot be undone stays.
func (j *journal) undo(ns both, chosen func(step) bool, tell func(string)) error {
	if !slices.ContainsFunc(j.steps, chosen) {
		return nil
	}
	return errors.Join(j.undoSteps(ns, chosen, false, tell), j.write())
}

// undoSteps is undo, without the file.
func (j *journal) undoSteps(ns both, chosen func(step) bool, kept bool, tell func(string)) error {
	var left []step
	var errs []error
	for _, s := range slices.Backward(j.steps) {
		if chosen(s) {
			err := j.undoStep(s, ns, kept, tell)
			if err == nil {
				continue
			}
			errs = append(errs, err)
		}
		left = append(left, s)
	}
	slices.Reverse(left)
	j.steps = left
	return errors.Join(errs...)
}

// has reports whether there is a step of that kind that begins with the words.
func (j *journal) has(kind string, words ...string) bool {
	return slices.ContainsFunc(j.steps, func(s step) bool {
		return s.kind == kind && slices.Equal(s.words[:len(words)], words)
	})
}

// name is that of the namespace.
func (j *journal) name() string { return filepath.Base(filepath.Dir(j.path)) }

func journalPath(name string) string { return filepath.Join(journalDir, name, "setup") }

// readJournal returns an empty journal where there is no file, and where there
// is one of another boot: its numbers say nothing about the namespaces of this
// one.
func readJournal(path string) (*journal, error) {
	j := &journal{path: path}
	content, err := files.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what the start did: %w", err)
	}
	head, rest, _ := strings.Cut(string(content), "\n")
	var boot string
	_, err = fmt.Sscanf(head, "namespace %d %d %t %s", &j.id.Inode, &j.id.Cookie, &j.made, &boot)
	if this, unknown := thisBoot(); unknown != nil {
		return nil, unknown
	} else if err == nil && boot != this {
		return &journal{path: path}, nil
	}
	for line := range strings.Lines(rest) {
		var s step
		if err == nil {
			_, err = fmt.Sscanf(line, "%s %q %q %q\n", &s.kind, &s.words[0], &s.words[1], &s.words[2])
		}
		if !slices.Contains(kinds, s.kind) {
			err = fmt.Errorf("unknown step %q", s.kind)
		}
		j.steps = append(j.steps, s)
	}
	if err != nil {
		return nil, fmt.Errorf("read what the start did: %s is damaged; remove it, and undo by hand what is left", path)
	}
	return j, nil
}

// thisBoot is a word that no other boot has (random(4)).
func thisBoot() (string, error) {
	id, err := files.Read("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("tell this boot from others (is /proc mounted?): %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}

// begin notes the calling thread's namespace as one that Up is making.
func (j *journal) begin() error {
	ns, err := namespace.Current()
	if err != nil {
		return err
	}
	defer ns.Close()
	cookie, err := namespace.CurrentCookie()
	if err != nil {
		return err
	}
	j.id, j.made = namespace.ID{Inode: ns.Inode(), Cookie: cookie}, true
	return j.write()
}

// note adds a change that is about to be made. To undo one that was not made
// after all does nothing.
func (j *journal) note(kind string, words ...string) error {
	s := step{kind: kind}
	copy(s.words[:], words)
	j.steps = append(j.steps, s)
	return j.write()
}

// write replaces the file as a whole.
func (j *journal) write() error {
	boot, err := thisBoot()
	if err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "namespace %d %d %t %s\n", j.id.Inode, j.id.Cookie, j.made, boot)
	for _, s := range j.steps {
		fmt.Fprintf(&text, "%s %q %q %q\n", s.kind, s.words[0], s.words[1], s.words[2])
	}
	for range 100 {
		if err = os.MkdirAll(filepath.Dir(j.path), 0o755); err == nil {
			err = os.WriteFile(j.path+".new", []byte(text.String()), 0o644)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		// The Down of another namespace has found journalDir empty.
	}
	if err == nil {
		err = os.Rename(j.path+".new", j.path)
	}
	if err != nil {
		return fmt.Errorf("write down what the start does: %w", err)
	}
	return nil
}

// remove removes the file with its directory, and the one above if it was the
// last.
func (j *journal) remove() error {
	if err := removeResolvConf(j.name()); err != nil { // one of another boot, say
		return err
	}
	for _, path := range []string{j.path + ".new", j.path} { // a crash leaves the first
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what the start wrote down: %w", err)
		}
	}
	*j = journal{path: j.path}
	_ = os.Remove(filepath.Dir(j.path))
	_ = os.Remove(filepath.Dir(filepath.Dir(j.path)))
	return nil
}
