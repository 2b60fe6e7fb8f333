// Package audit finds out which service runs where, and whether that is where
// its settings say. It goes by what the kernel tells of each process, by
// OpenRC's state directory and by conf.d, and runs nothing of a service.
//
// It gives facts and verdicts; the words for them are its callers' business.
package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"time"

	"openrc-netns/internal/ask"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/publish"
	"openrc-netns/internal/rcdir"
	"openrc-netns/internal/serviceconf"
)

// Verdict is what is to be said of a service in one word: the gravity of what
// is worst, or one of these.
type Verdict string

const (
	Unknown Verdict = "unknown" // there was too little to see
	OK      Verdict = "ok"
	Stopped Verdict = "stopped" // nothing runs, nothing is wrong
)

// byGravity is the order in which findings count, of several on one service.
var byGravity = []finding.Gravity{finding.Outside, finding.Sockets, finding.Files, finding.Stale, finding.Missing}

// NeedsAction reports whether somebody has to do something about it.
func (v Verdict) NeedsAction() bool { return v != Unknown && v != OK && v != Stopped }

// Options says what to audit.
type Options struct {
	// Services are the ones to audit; none means all that are confined.
	Services []string
	// Namespaces asks for those with a name too, and for what is in them.
	Namespaces bool
	// Hasty does without making sure: what is wrong may be a service that is
	// just started.
	Hasty bool
}

// Report is what was seen.
type Report struct {
	Services   []Service   // in the order of their names, or in that of Options
	Namespaces []Namespace // in the order of their names
	Unseen     Unseen
}

// NeedsAction reports whether the verdict on any service does, or nobody can tell
// where it belongs, or a process could not be looked at.
func (r *Report) NeedsAction() bool {
	return r.Unseen.Stuck > 0 || slices.ContainsFunc(r.Services, func(s Service) bool {
		return s.Verdict.NeedsAction() || s.SettingsError != nil
	})
}

// Service is one that has settings or a record that confine it.
type Service struct {
	Name  string
	State openrc.State
	// Settings are those of conf.d; nil where they confine nothing, because the
	// init script itself does or because they were removed, and where they are not
	// known.
	Settings *openrc.Settings
	// SettingsError says why they are not known; nil if they are.
	SettingsError error
	// Record says where it was started; nil if it was not, or not confined.
	Record *openrc.Record
	// RecordError says why the record cannot be read; nil if it can.
	RecordError error
	// Netns is the namespace that it belongs in, by Settings or else by Record;
	// empty means the host's.
	Netns     string
	Processes []Process         // in the order of their numbers
	Views     []View            // of its daemons, where files of its own are to be seen in /etc
	Findings  []finding.Finding // the gravest first
	Remedy    finding.Remedy    // for all of them; empty if there is none to give
	Verdict   Verdict
	// Idle says that it is started, that it has a daemon to run, and that no
	// process of it is where it belongs.
	Idle bool
	// NoPidfile says that a pidfile is missing, from which OpenRC concludes
	// that it has crashed, and that it has processes.
	NoPidfile bool

	daemons openrc.Daemons
	missed  bool // its cgroup has processes that were gone whenever looked at
	viewed  bool // a process was seen in what the start made
	// The pidfile, which may be the daemon's own to write, names a process of which
	// nothing else says that it is of the service, and which OpenRC's stop would end.
	bystander func() bool
}

// Position says what is to be thought of where a process is.
type Position string

const (
	// Inside is the namespace that the service belongs in.
	Inside Position = "inside"
	// Started is the one that it was started in, which is no longer the same.
	Started Position = "started"
	// Elsewhere is the host's, or one with a name, that is not the service's.
	Elsewhere Position = "outside"
	// Session is elsewhere too, of a process that has a controlling terminal:
	// it is a person's, who has logged in through the service and gone there.
	Session Position = "session"
	// Private is a namespace without a name: the process has made it for
	// itself, or it is a left-over from before the name was deleted.
	Private Position = "private"
	// Hidden is what this user may not see.
	Hidden Position = "hidden"
)

// Process is one of a service, or one in a namespace.
type Process struct {
	PID  int
	Name string // of at most 15 bytes, as in /proc/PID/comm
	// Inode is its network namespace; 0 where that cannot be seen.
	Inode uint64
	// Netns is the name of that; empty if it has none.
	Netns string
	// Host says that it is the host's, that of process 1.
	Host     bool
	Position Position
	// Claimed says that only what the process can choose itself, or one that is
	// root, makes it one of the service: a pidfile, a cgroup, a name, its parent.
	// One that is not is in the mount namespace that the start has made, and in
	// the network namespace or the cgroup too.
	Claimed bool

	main  bool   // a daemon that OpenRC knows, or one that comes from it
	start string // see process
}

// Namespace is one that has a name.
type Namespace struct {
	Name  string
	Inode uint64 // 0 if it is none
	Err   error  // that of namespace.Open, where something else has the name; else nil
	// Services are those that belong in it, and those that have a process in
	// it.
	Services []string
	// Interfaces are its own, in the order of their indexes.
	Interfaces []Interface
	// Processes are those in it that are of no service.
	Processes []Process
	// Published is what the host can reach in it.
	Published []publish.Entry
}

// Interface is one of a namespace.
type Interface struct {
	Name  string
	Index int
	Kind  string // as ip-link(8) has it: veth, vrf; "device" for hardware and loopback
	Up    bool
}

// Unseen counts what could not be inspected for lack of privilege, and what could
// not be at all.
type Unseen struct {
	Stuck      int  // processes that do not let themselves be looked at
	Everybody  bool // all processes of other users are hidden
	Processes  int  // of services, whose namespace could not be seen
	Programs   int  // services whose BPF program could not be read
	Files      int  // services whose view of /etc could not be seen
	Settings   int  // services whose conf.d could not be read
	Namespaces int  // whose interfaces could not be listed
}

// Any reports whether anything was not seen.
func (u Unseen) Any() bool { return u != Unseen{} }

// UnknownServiceError says that there is no such service.
type UnknownServiceError struct{ Service string }

func (e *UnknownServiceError) Error() string {
	return fmt.Sprintf("unknown service %q: there is no %s/%s", e.Service, rcdir.Init, e.Service)
}

// UnconfinedError says that a service belongs on the host's network, and was
// started there.
type UnconfinedError struct{ Service string }

func (e *UnconfinedError) Error() string {
	return fmt.Sprintf("service %q is not confined: %s sets none of netns, vrf and netns_lock for it", e.Service, rcdir.Conf)
}

// Run audits the services. It is an error if OpenRC has not booted this machine
// (*openrc.NotBootedError), or if a service was asked for that has a name which
// none can have, does not exist (*UnknownServiceError) or is not confined
// (*UnconfinedError). Without root it sees less, and says so in Report.Unseen.
// Where something is wrong it takes a tenth of a second, and up to half of one,
// to make sure.
//
// Any thread may call it. It looks into namespaces on threads of its own, and
// sees the files of the caller's mount namespace.
func Run(o Options) (*Report, error) {
	ask.Begin()
	if err := openrc.CheckBooted(); err != nil {
		return nil, err
	}
	// A service that starts or stops meanwhile, or whose supervisor starts it
	// again, is in between: a problem counts when two audits in a row agree.
	const attempts, pause = 5, 100 * time.Millisecond
	report, err := runOnce(o)
	for i := 1; err == nil && !o.Hasty && len(report.findings()) > 0 && i < attempts; i++ {
		before := report.findings()
		time.Sleep(pause)
		if report, err = runOnce(o); err == nil && reflect.DeepEqual(before, report.findings()) {
			break
		}
	}
	return report, err
}

// findings are those of all services; none where a service is idle.
func (r *Report) findings() map[string][]finding.Finding {
	findings := map[string][]finding.Finding{}
	for _, s := range r.Services {
		if s.Verdict.NeedsAction() || s.Idle || s.missed {
			findings[s.Name] = s.Findings
		}
	}
	return findings
}

func runOnce(o Options) (*Report, error) {
	names := o.Services
	if len(names) == 0 {
		var err error
		if names, err = openrc.Services(); err != nil {
			return nil, err
		}
	}
	a := &auditor{named: len(o.Services) > 0}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			continue
		}
		s, err := a.service(name)
		if errors.As(err, new(*UnknownServiceError)) && len(o.Services) == 0 {
			continue // a record, or a script, that is gone by now
		}
		if err == nil && s == nil && len(o.Services) > 0 {
			err = &UnconfinedError{name}
		}
		if err != nil {
			return nil, err
		}
		if s != nil {
			a.services = append(a.services, s)
		}
	}
	if err := a.scan(o.Namespaces); err != nil {
		return nil, err
	}
	report := &Report{}
	for _, s := range a.services {
		a.judge(s)
		report.Services = append(report.Services, *s)
	}
	if o.Namespaces {
		report.Namespaces = a.namespaces()
	}
	report.Unseen = a.unseen
	return report, nil
}

// auditor is the work of one Run.
type auditor struct {
	named      bool // the services were asked for
	services   []*Service
	processes  map[int]*process
	owners     map[int]string      // the service that a process is of, confined or not
	proven     map[int]bool        // that is more than a claim, see Process
	hostMounts uint64              // the inode of the host's mount namespace; 0 where that cannot be seen
	views      map[uint64]*Service // by the inode of the mount namespace that their start made
	host       uint64              // the inode of the host's namespace; 0 where that cannot be seen
	others     map[uint64]bool     // the mount namespaces of the host and of all starts; nil until somebody asks
	byInode    map[uint64]*netns
	names      []*namedNetns
	etc        map[string][]etcFile
	unseen     Unseen
	// How many descriptors were looked at; see socketsOf.
	descriptors int
}

// service reads the settings and the record of a service; nil if it is not
// confined.
func (a *auditor) service(name string) (*Service, error) {
	if err := openrc.CheckName(name); err != nil {
		return nil, err
	}
	s := &Service{Name: name}
	s.Record, s.RecordError = openrc.ReadRecord(name)
	if s.Record == nil && s.RecordError == nil && !openrc.HasScript(name) {
		return nil, &UnknownServiceError{name}
	}
	started := s.Record != nil || s.RecordError != nil
	settings, err := serviceconf.Read(name)
	switch {
	case err == nil && settings.Confined():
		// Whether one in no runlevel was started in a boot, nobody knows.
		if !started && !a.named && !serviceconf.MayConfine(name) && !serviceconf.InRunlevel(name, "*") {
			return nil, nil
		}
		s.Settings, s.Netns = &settings, settings.Netns
	case err == nil, errors.As(err, new(*serviceconf.NotExistError)):
		if !started {
			return nil, nil
		}
	case errors.Is(err, fs.ErrPermission):
		a.unseen.Settings++
		if !started {
			return nil, nil
		}
	default:
		if !started && !a.named && !serviceconf.MayConfine(name) {
			return nil, nil
		}
		s.SettingsError = err
	}
	if s.Settings == nil && s.Record != nil {
		s.Netns = s.Record.Netns
	}
	s.State = openrc.ReadState(name)
	s.daemons = openrc.ReadDaemons(name)
	return s, nil
}
