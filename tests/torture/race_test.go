package torture

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/openrc"
	"openrc-netns/tests/internal/attack"
)

// racers is how many launches go on at a time.
const racers = 4

// raceKinds are the kinds of launch that race, each as often as it stands here.
var raceKinds = []string{"hand", "hand", "hand", "path", "user", "lock", "lock", "service", "service", "start", "doomed"}

// attackRaces launches while others change the names, and judges each launch by
// what the name led to meanwhile.
func attackRaces(r *report, until time.Time) {
	random := rand.New(rand.NewPCG(*attack.Seed, 1))
	var names []*name
	for text, order := range map[string]string{"steady": "steady", "admin": "admin", "admin2": "admin", "again": "again", "wild": "wild"} {
		n, err := newName(text, order, rand.New(rand.NewPCG(random.Uint64(), 2)))
		if err != nil {
			r.failed("race", err)
			return
		}
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b *name) int { return strings.Compare(a.text, b.text) })
	stop := churnAll(names)
	var wait sync.WaitGroup
	for i := range racers {
		random := rand.New(rand.NewPCG(*attack.Seed, uint64(10+i)))
		wait.Go(func() {
			if err := race(r, i, names, random, until); err != nil {
				r.failed("race", err)
			}
		})
	}
	wait.Wait()
	if err := stop(); err != nil {
		r.failed("race", err)
	}
	var changes int64
	for _, n := range names {
		changes += n.changes.Load()
	}
	fmt.Printf("race: %d changes of names\n", changes)
}

// racer is one lane of launches, with a service of its own.
type racer struct {
	*lane
	report  *report
	random  *rand.Rand
	service string
	doomed  string   // a command that cannot be executed
	direct  []string // the portrait of the command without a launcher
}

// portrayed is one in how many launches is compared with the command without a
// launcher in all that can be told.
const portrayed = 16

func race(r *report, i int, names []*name, random *rand.Rand, until time.Time) error {
	lane, err := newLane()
	if err != nil {
		return err
	}
	c := &racer{lane: lane, report: r, random: random, service: fmt.Sprintf("racer%d", i), doomed: fmt.Sprintf("/run/doomed%d", i)}
	o, err := c.run(launch{argv: []string{probe}, env: environment, dir: "/"})
	if err != nil {
		return err
	}
	if c.direct, err = portrait(o.pid); err != nil {
		return err
	}
	c.finish(&o)
	if err := os.WriteFile(c.doomed, []byte("#!/nowhere\n"), 0o755); err != nil {
		return err
	}
	for time.Now().Before(until) {
		kind, n := raceKinds[random.IntN(len(raceKinds))], names[random.IntN(len(names))]
		id := fmt.Sprintf("race/%s/%s", kind, n.order)
		if !wanted(id) && !wanted("race/"+kind) {
			continue
		}
		if kind == "start" {
			err = c.raceService(id, n)
		} else {
			err = c.raceHand(id, kind, n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// environment is that of every launch.
var environment = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "RC_SVCDIR=/run/openrc", "A=1"}

func (c *racer) raceHand(id, kind string, n *name) error {
	options := map[string][]string{
		"user": {"-u", "nobody"}, "lock": {"--lock"}, "doomed": {"--lock"}, "service": {"--service"},
	}[kind]
	name, command := n.text, probe
	switch kind {
	case "path":
		name = n.path()
	case "doomed":
		command = c.doomed
	}
	o, err := c.run(launch{argv: byHand(name, command, options...), env: environment, dir: "/"})
	if err != nil {
		return err
	}
	c.judge(id, kind, n, &o)
	if o.running {
		c.finish(&o)
	}
	return nil
}

// judge decides what became of a launch, by what its name led to meanwhile.
func (c *racer) judge(id, kind string, n *name, o *outcome) {
	states := n.states.during(o.begin, o.end)
	if !o.running {
		c.judgeFailure(id, kind, n, o, states)
		return
	}
	promise, text := judgeInside(kind, n, o, states)
	if promise == "" && kind != "start" && c.random.IntN(portrayed) == 0 {
		lines, err := portrait(o.pid)
		if odd := unlike(inherited(kind, c.direct), inherited(kind, lines)); len(odd) > 0 || err != nil {
			promise, text = "not transparent", fmt.Sprintf("not as without the launcher: %s (%v)", strings.Join(odd, "; "), err)
		}
	}
	class := "inside"
	if len(states) > 1 {
		class = "inside, while the name changed"
	}
	c.report.judged(id, class, promise, text)
}

func (c *racer) judgeFailure(id, kind string, n *name, o *outcome, states []nameState) {
	promise, text := o.unclean(kind == "start")
	kinds := make([]string, 0, len(states))
	excuse := len(states) > 1
	for _, s := range states {
		kinds = append(kinds, s.kind)
		excuse = excuse || !s.leads() || s.kind == host && isService(kind)
	}
	if n.order == "wild" {
		for _, f := range tokenFiles {
			states := n.files[f].during(o.begin, o.end)
			excuse = excuse || len(states) > 1 || states[0].bad
		}
	}
	excuse = excuse || kind == "doomed" && o.status.ExitStatus() == 127
	switch {
	case promise != "":
	case !excuse:
		promise, text = "failed for the sake of another", fmt.Sprintf("the name led to one namespace all the time, but: %s", o.stderr)
	case strings.Contains(o.stderr, "is stale") && !slices.Contains(kinds, file) &&
		// On a busy machine an administrator too may stop for longer than a
		// launcher looks at an old file: 30 times, every 10 ms.
		!n.states.lasted(o.begin, o.end, int64(300*time.Millisecond), func(s nameState) bool { return s.kind == between }):
		promise, text = "advice to remove a good name", fmt.Sprintf("the name was %s: %s", describe(states), o.stderr)
	case kind == "start":
		if _, err := os.Lstat("/run/openrc/options/" + c.service); err == nil {
			promise, text = "something is left", "the record of a failed start, after "+o.stderr
		}
	}
	c.report.judged(id, "failed: "+messageClass(o.stderr), promise, text)
}

func isService(kind string) bool { return kind == "service" || kind == "start" }

// judgeInside says what is wrong with a command that runs; empty if nothing is.
func judgeInside(kind string, n *name, o *outcome, states []nameState) (promise, text string) {
	inode, err := netInode(o.pid)
	if err != nil {
		return "the attack itself failed", err.Error()
	}
	var led []nameState
	for _, s := range states {
		if s.leads() && s.inode == inode && (s.kind != host || !isService(kind)) {
			led = append(led, s)
		}
	}
	switch {
	case kind == "doomed":
		return "a command that cannot be executed runs", n.text
	case len(led) == 0 && inode == hostInode:
		return "OUTSIDE", fmt.Sprintf("it runs on the host's network, and the name was %s", describe(states))
	case len(led) == 0:
		return "another namespace", fmt.Sprintf("it runs in net:[%d], and the name was %s", inode, describe(states))
	}
	if text := halfView(o.pid, led[0].mark); text != "" {
		return "half a view", text
	}
	tokens := make([]string, 0, len(tokenFiles))
	for _, f := range tokenFiles {
		tokens = append(tokens, etcToken(o.pid, f))
	}
	if n.order != "wild" {
		if !slices.ContainsFunc(led, func(s nameState) bool { return slices.Equal(s.tokens, tokens) }) {
			return "files of another moment", fmt.Sprintf("it sees %q, the name was %s", tokens, describe(states))
		}
	} else {
		for i, f := range tokenFiles {
			past := n.files[f].during(o.begin, o.end)
			if !slices.ContainsFunc(past, func(s fileState) bool { return !s.bad && s.token == tokens[i] }) {
				return "files of another moment", fmt.Sprintf("it sees %q in /etc/%s, which was %v", tokens[i], f, past)
			}
		}
	}
	return judgeProcess(kind, o.pid)
}

func describe(states []nameState) string {
	var texts []string
	const shown = 6
	if len(states) > shown {
		texts = append(texts, fmt.Sprintf("%d things, last", len(states)))
		states = states[:shown]
	}
	for _, s := range states {
		texts = append(texts, fmt.Sprintf("%s (net:[%d], %q)", s.kind, s.inode, s.tokens))
	}
	return strings.Join(texts, ", then before that ")
}

// judgeProcess looks at what the kind of launch asks for besides the namespace.
func judgeProcess(kind string, pid int) (promise, text string) {
	status, err := readSmall(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "the attack itself failed", err.Error()
	}
	if !strings.Contains(status, "\nSigBlk:\t0000000000000000\n") {
		return "not transparent", "the signal mask is not what it was"
	}
	switch kind {
	case "user":
		if !strings.Contains(status, "\nUid:\t65534\t65534\t65534\t65534\n") || !strings.Contains(status, "\nCapEff:\t0000000000000000\n") {
			return "half a user", "it is not nobody, or has capabilities"
		}
	case "lock":
		_, bounding, _ := strings.Cut(status, "\nCapBnd:\t")
		bounding, _, _ = strings.Cut(bounding, "\n")
		if bits, err := strconv.ParseUint(bounding, 16, 64); bits&(1<<unix.CAP_SYS_ADMIN) != 0 || err != nil {
			return "half a lock", fmt.Sprintf("CAP_SYS_ADMIN is in the bounding set (%v)", err)
		}
		cgroup, err := cgroupOf(strconv.Itoa(pid))
		if err != nil {
			return "the attack itself failed", err.Error()
		}
		if confined, err := confines(cgroup); !confined {
			return "half a lock", fmt.Sprintf("no program is on its cgroup %s (%v)", cgroup, err)
		}
	}
	return "", ""
}

// byHand is a launch of netns-exec.
func byHand(name, command string, options ...string) []string {
	return slices.Concat([]string{bin + "/netns-exec"}, options, []string{name, "--", command})
}

// hook is the launch of a service's action, as the drop-in has it.
func hook(service, netns, action string, settings ...string) []string {
	argv := []string{bin + "/openrc-netns-hook", "exec", "--protocol", openrc.Protocol, "--service", service, "--action", action, "--netns", netns}
	return append(append(argv, settings...), "--", probe)
}

// raceService starts a service, and asks for its status and stops it where it
// was started.
func (c *racer) raceService(id string, n *name) error {
	dir := filepath.Join("/run/openrc/options", c.service)
	defer os.RemoveAll(dir)
	daemon, err := newLane()
	if err != nil {
		return err
	}
	defer daemon.close()
	o, err := daemon.run(launch{argv: hook(c.service, n.text, "start"), env: environment})
	if err != nil {
		return err
	}
	c.judge(id, "start", n, &o)
	if !o.running {
		return nil
	}
	started, err := netInode(o.pid)
	if err != nil {
		return err
	}
	record, err := os.ReadFile(dir + "/netns")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !strings.HasPrefix(string(record), fmt.Sprintf("%d\n", started)) {
		c.report.broken(id, "a wrong record", fmt.Sprintf("started in net:[%d], on record is %q", started, record))
	}
	for _, action := range []string{"status", "stop"} {
		if err := c.follow(id+"/"+action, n, action, started, true); err != nil {
			return err
		}
	}
	daemon.finish(&o)
	return c.follow(id+"/stop-dead", n, "stop", started, false)
}

// follow runs an action of a service that was started in a namespace. While the
// daemon lives it has to be in that one; afterwards it may be in a new one, but
// in no other one that anybody knows.
func (c *racer) follow(id string, n *name, action string, started uint64, lives bool) error {
	o, err := c.run(launch{argv: hook(c.service, n.text, action), env: environment})
	if err != nil {
		return err
	}
	if !o.running {
		promise, text := o.unclean(true)
		if promise == "" {
			promise, text = "an action that failed", o.stderr
		}
		c.report.broken(id, promise, text)
		return nil
	}
	defer c.finish(&o)
	inode, err := netInode(o.pid)
	if err != nil {
		return err
	}
	known := slices.ContainsFunc(pool, func(n *netns) bool { return n.inode == inode })
	switch {
	case inode == hostInode:
		c.report.broken(id, "OUTSIDE", "it acts on the host's network")
	case inode == started:
		c.report.count(id, action+" where the start was")
	case lives || known:
		c.report.broken(id, "another namespace", fmt.Sprintf("it acts in net:[%d], the start in net:[%d]", inode, started))
	default:
		c.report.count(id, action+" in a new namespace")
	}
	return nil
}

func (l *lane) close() {
	for _, p := range []pipe{l.in, l.out, l.err} {
		unix.Close(p.r)
		unix.Close(p.w)
	}
}
