// Package provision makes a named network namespace ready for services, and undoes
// that: it makes the namespace where there is none, brings its loopback up,
// moves network interfaces in and sets sysctls.
//
// Each change is written to a journal before it is made, and Down undoes what
// the journal says and nothing else: a namespace that was there before Up is
// adopted, and outlives Down with its old settings.
//
// Interfaces come from, and return to, the network namespace of PID 1, and
// namespaces are named in its mount namespace. Both functions need
// CAP_SYS_ADMIN and CAP_NET_ADMIN, leave the calling thread where it is, and may
// be called from any one; two at a time for the same name are not safe.
package provision

import (
	"errors"
	"fmt"
	"os"

	"openrc-netns/internal/namespace"
)

// Spec is what a network namespace is to be.
type Spec struct {
	// Name is its name in namespace.Dir.
	Name string
	// Interfaces are moved in, in order, and stay down.
	Interfaces []Interface
	// Sysctls are set in order. One that comes with an interface is set once the
	// interface is there, all others before any is, so that the defaults for
	// interfaces have their effect.
	Sysctls []Sysctl
}

// both are the two namespaces that setting up and undoing work on.
type both struct {
	host, inside *namespace.Namespace
}

// Up makes the namespace what spec says. It may be called again after it was
// cut short: what is there already is fine. After an error all that the journal
// has is undone, and the journal removed. Tell is told what an administrator
// should know.
func Up(spec Spec, tell func(string)) error {
	log, host, err := begin(spec.Name)
	if err != nil {
		return err
	}
	defer host.Close()
	if err := log.up(host, spec, tell); err != nil {
		if undoing := log.down(host, spec.Name, tell); undoing != nil {
			return fmt.Errorf("%w; and to undo what was done before: %w", err, undoing)
		}
		return err
	}
	return nil
}

// Down undoes what the journal says was done to the namespace, and removes the
// journal. What has gone since is no error, and tell is told; what cannot be
// undone stays in the journal.
func Down(name string, tell func(string)) error {
	log, host, err := begin(name)
	if err != nil {
		return err
	}
	defer host.Close()
	if log.id.Inode == 0 {
		tell(fmt.Sprintf("network namespace %q: nothing is on record that would have to be undone", name))
		return log.remove() // it may be another boot's
	}
	return log.down(host, name, tell)
}

func begin(name string) (*journal, *namespace.Namespace, error) {
	if err := checkName(name); err != nil {
		return nil, nil, err
	}
	if err := checkMounts(); err != nil {
		return nil, nil, err
	}
	log, err := readJournal(journalPath(name))
	if err != nil {
		return nil, nil, err
	}
	host, err := namespace.Open(namespace.Host)
	return log, host, err
}

// checkName refuses what namespace.Open would take for a path.
func checkName(name string) error {
	if name != "" && name[0] == '/' {
		return fmt.Errorf("bad network namespace name %q: give a name without a slash", name)
	}
	return namespace.CheckName(name)
}

// checkMounts refuses to make or remove a name that nobody else would see.
func checkMounts() error {
	own, err := os.Stat("/proc/self/ns/mnt")
	if err != nil {
		return fmt.Errorf("find the mount namespace (is /proc mounted?): %w", err)
	}
	hosts, err := os.Stat("/proc/1/ns/mnt")
	if err != nil {
		return fmt.Errorf("find the host's mount namespace: %w", err)
	}
	if !os.SameFile(own, hosts) {
		return errors.New("this is not the host's mount namespace; enter that first, with: nsenter -t 1 -m -n")
	}
	return nil
}

func (j *journal) up(host *namespace.Namespace, spec Spec, tell func(string)) error {
	inside, err := j.open(host, spec.Name, tell)
	if err != nil {
		return err
	}
	defer inside.Close()
	if inside.Inode() == host.Inode() {
		return fmt.Errorf("%q is the host's own network namespace", spec.Name)
	}
	ns := both{host, inside}
	if err := inside.Do(j.loopbackUp); err != nil {
		return err
	}
	late, err := j.setSysctls(inside, spec.Sysctls, true)
	if err != nil {
		return err
	}
	for _, i := range spec.Interfaces {
		if err := j.moveIn(ns, i); err != nil {
			return err
		}
	}
	_, err = j.setSysctls(inside, late, false)
	return err
}

// open makes the namespace or adopts it, and begins the journal.
func (j *journal) open(host *namespace.Namespace, name string, tell func(string)) (*namespace.Namespace, error) {
	ns, err := namespace.Open(name)
	if err != nil && !missing(err) {
		return nil, err
	}
	if j.id.Inode != 0 && (err != nil || !j.id.Is(ns)) {
		// Another one had the name when a start was cut short.
		if err := j.down(host, name, tell); err != nil {
			return nil, err
		}
	}
	if err != nil {
		if err := create(name, j.begin); err != nil {
			*j = journal{path: j.path}
			return nil, err
		}
		return namespace.Open(name)
	}
	if j.id.Inode == 0 {
		if j.id, err = ns.ID(); err == nil {
			err = j.write()
		}
		if err != nil {
			ns.Close()
			return nil, err
		}
	}
	if !j.made {
		tell(fmt.Sprintf("network namespace %q is there already, and stays when this service stops", name))
	}
	return ns, nil
}

// down undoes the journal, last things first.
func (j *journal) down(host *namespace.Namespace, name string, tell func(string)) error {
	if j.id.Inode == 0 {
		return j.remove()
	}
	inside := j.id.Find(name)
	named := inside != nil && inside.Name() == name
	switch {
	case inside == nil:
		tell(fmt.Sprintf("network namespace %q is gone", name))
	case !named:
		tell(fmt.Sprintf("network namespace %q has lost its name, and lives on", name))
	}
	if inside != nil {
		defer inside.Close()
	}

	var failed []step
	var errs []error
	for i := len(j.steps) - 1; i >= 0; i-- {
		if err := j.steps[i].undo(both{host, inside}, j.made, tell); err != nil {
			failed = append([]step{j.steps[i]}, failed...)
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		// The namespace stays too: an interface in it might go with it.
		j.steps = failed
		return errors.Join(append(errs, j.write())...)
	}
	if j.made && (named || stale(name)) {
		if err := remove(name); err != nil {
			return err
		}
	}
	return j.remove()
}
