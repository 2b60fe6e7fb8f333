package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"openrc-netns/internal/audit"
	"openrc-netns/internal/mounts"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/privilege"
	"openrc-netns/internal/terminal"
)

// statusOptions is the command line of status, taken apart.
type statusOptions struct {
	services []string
	json     bool
	openrc   bool
	watch    int // seconds between two looks; 0 for one look
}

// status shows which service runs where, and returns the status to exit with.
func status(args []string) int {
	problem, err := runStatus(args)
	return conclude("status", problem, err)
}

func runStatus(args []string) (problem bool, err error) {
	if err := privilege.CheckSecure(); err != nil {
		return false, err
	}
	o, err := parseStatus(args)
	if err != nil {
		return false, err
	}
	// Behind a confined sshd the files of /etc are others, and new names of
	// namespaces may not be seen.
	if err := mounts.EnterHost(); err != nil && privilege.CheckSysAdmin() == nil {
		return false, err
	}
	if o.watch > 0 {
		return false, watch(o)
	}
	report, err := audit.Look(o.look())
	if err != nil {
		return false, err
	}
	text := ""
	if o.openrc {
		return false, write(forOpenRC(&report.Services[0]))
	}
	if o.json {
		text, err = encode(describe(report))
	} else {
		t, _ := terminal.Of(os.Stdout)
		text = strings.Join(o.lines(report, t.Columns, t.Colour), "\n") + "\n"
	}
	if err == nil {
		err = write(text)
	}
	return report.NeedsAction(), err
}

func parseStatus(args []string) (*statusOptions, error) {
	var o statusOptions
	var seconds string
	flags := pflag.NewFlagSet("status", pflag.ContinueOnError)
	flags.Usage = func() {}
	flags.BoolVar(&o.json, "json", false, "")
	flags.BoolVar(&o.openrc, "openrc", false, "")
	flags.StringVar(&seconds, "watch", "", "")
	flags.Lookup("watch").NoOptDefVal = "2"
	if err := flags.Parse(args); err != nil {
		return nil, fmt.Errorf("%w; see: rc-netns --help", err)
	}
	o.services = flags.Args()
	if o.openrc && (len(o.services) != 1 || flags.NFlag() != 1) {
		return nil, errors.New("--openrc is for one service, and goes with no other option")
	}
	if !flags.Changed("watch") {
		return &o, nil
	}
	var err error
	if o.watch, err = strconv.Atoi(seconds); err != nil || o.watch < 1 || o.watch > 86400 {
		return nil, fmt.Errorf("--watch=%s: give a number of seconds from 1 to 86400", seconds)
	}
	if o.json {
		return nil, errors.New("--watch is for people and --json for programs: give one of the two")
	}
	if _, ok := terminal.Of(os.Stdout); !ok || !terminal.Escapes() {
		return nil, errors.New("--watch needs a terminal that it can clear: leave it out, and call status again and again")
	}
	return &o, nil
}

func (o *statusOptions) look() audit.Options {
	return audit.Options{Services: o.services, Namespaces: o.json || len(o.services) == 0}
}

// watch shows what there is again and again, until it is interrupted.
func watch(o *statusOptions) error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	const home, clearLine, clearRest = "\x1b[H", "\x1b[K", "\x1b[J"
	first := "\x1b[2J"
	for {
		report, err := audit.Look(o.look())
		if err != nil {
			return err
		}
		t, _ := terminal.Of(os.Stdout)
		lines := o.lines(report, t.Columns, t.Colour)
		if room := t.Rows - 1; t.Rows > 1 && len(lines) > room {
			more := fmt.Sprintf("%d more lines", len(lines)-room+1)
			lines = append(lines[:room-1], more)
		}
		err = write(first + home + strings.Join(lines, clearLine+"\n") + clearLine + "\n" + clearRest)
		if err != nil {
			return err
		}
		first = ""
		select {
		case <-ctx.Done():
			return nil
		case <-resized:
		case <-time.After(time.Duration(o.watch) * time.Second):
		}
	}
}

// lines is the report for people.
func (o *statusOptions) lines(r *audit.Report, width int, colour bool) []string {
	var lines []string
	if len(r.Services) == 0 {
		lines = append(lines, "no service is confined")
	} else {
		lines = append(lines, serviceTable(r).lines(width, colour)...)
	}
	if len(o.services) > 0 {
		if t := processTable(r); len(t.rows) > 0 {
			lines = append(append(lines, ""), t.lines(width, colour)...)
		}
	} else if len(r.Namespaces) > 0 {
		lines = append(append(lines, ""), namespaceTable(r).lines(width, colour)...)
	}
	if texts := unseen(r.Unseen); len(texts) > 0 {
		lines = append(lines, "")
		for _, text := range texts {
			for _, line := range (note{text: text}).lines(width, colour) {
				lines = append(lines, strings.TrimPrefix(line, "  "))
			}
		}
	}
	return lines
}

func serviceTable(r *audit.Report) table {
	t := table{columns: []column{
		{"SERVICE", 8, 0}, {"STATE", 0, 2}, {"NETNS", 6, 1}, {"VRF", 5, 3}, {"PROCESSES", 0, 4}, {"VERDICT", 0, 0},
	}}
	for i := range r.Services {
		s := &r.Services[i]
		netns, vrf := s.Netns, ""
		if s.Settings != nil {
			vrf = s.Settings.VRF
		} else if s.Record == nil {
			netns, vrf = "?", "?"
		}
		row := row{cells: []cell{
			{text: s.Name}, {text: string(s.State)}, {text: dash(netns)}, {text: dash(vrf)},
			{text: strconv.Itoa(len(s.Processes))}, {text: string(s.Verdict), colour: colours(s.Verdict)},
		}}
		for _, p := range s.Problems {
			row.notes = append(row.notes, note{text: string(p.Verdict) + ": " + sentence(s, p)})
		}
		if command := remedy(s); command != "" {
			row.notes = append(row.notes, note{text: mendWith, copied: command})
		}
		for _, text := range remarks(s) {
			row.notes = append(row.notes, note{text: text})
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func processTable(r *audit.Report) table {
	t := table{columns: []column{
		{"PID", 0, 0}, {"PROCESS", 6, 1}, {"SERVICE", 8, 2}, {"NETNS", 6, 0}, {"INODE", 0, 3}, {"POSITION", 0, 2},
	}}
	for _, s := range r.Services {
		for _, p := range s.Processes {
			inode, netns := "?", "?"
			if p.Inode != 0 {
				inode, netns = strconv.FormatUint(p.Inode, 10), dash(p.Netns)
			}
			colour := ""
			if p.Position == audit.Elsewhere {
				colour = sgrRed
			}
			t.rows = append(t.rows, row{cells: []cell{
				{text: strconv.Itoa(p.PID)}, {text: p.Name}, {text: s.Name}, {text: netns}, {text: inode}, {text: string(p.Position), colour: colour},
			}})
		}
	}
	return t
}

func namespaceTable(r *audit.Report) table {
	t := table{columns: []column{
		{"NAMESPACE", 8, 0}, {"SERVICES", 8, 2}, {"INTERFACES", 10, 1}, {"OTHER PROCESSES", 15, 2},
	}}
	for _, n := range r.Namespaces {
		var interfaces, processes []string
		for _, i := range n.Interfaces {
			interfaces = append(interfaces, i.Name)
		}
		for _, p := range n.Processes {
			processes = append(processes, fmt.Sprintf("%d (%s)", p.PID, p.Name))
		}
		row := row{cells: []cell{
			{text: n.Name}, items(n.Services), items(interfaces), items(processes),
		}}
		if n.Err != nil {
			row.notes = append(row.notes, note{text: n.Err.Error()})
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func colours(v audit.Verdict) string {
	switch {
	case v.NeedsAction():
		return sgrRed
	case v == audit.OK:
		return sgrGreen
	case v == audit.Unknown:
		return sgrYellow
	}
	return sgrFaint
}

// statusSchema is the version of what follows; it grows when a field is removed
// or means something else, not when one is added.
const statusSchema = 1

// These are the JSON of status. No list in it is null.
type (
	jsonReport struct {
		Version    int             `json:"version"` // of the schema
		Services   []jsonService   `json:"services"`
		Namespaces []jsonNamespace `json:"namespaces"`
		Unseen     []string        `json:"unseen"`
	}
	jsonService struct {
		Name      string           `json:"name"`
		State     openrc.State     `json:"state"`
		Settings  bool             `json:"settings_known"`
		Netns     string           `json:"netns"`
		VRF       string           `json:"vrf"`
		Verdict   audit.Verdict    `json:"verdict"`
		Problems  []jsonProblem    `json:"problems"`
		Remedy    string           `json:"remedy"`
		Remarks   []string         `json:"remarks"`
		Processes []jsonConfinedBy `json:"processes"`
	}
	jsonProblem struct {
		Verdict audit.Verdict `json:"verdict"`
		Text    string        `json:"text"`
	}
	jsonProcess struct {
		PID  int    `json:"pid"`
		Name string `json:"name"`
	}
	jsonConfinedBy struct {
		jsonProcess
		Netns    string         `json:"netns"`
		Host     bool           `json:"host"`
		Inode    uint64         `json:"inode"`
		Position audit.Position `json:"position"`
	}
	jsonNamespace struct {
		Name       string          `json:"name"`
		Inode      uint64          `json:"inode"`
		Sound      bool            `json:"sound"`
		Services   []string        `json:"services"`
		Interfaces []jsonInterface `json:"interfaces"`
		Processes  []jsonProcess   `json:"processes"`
	}
	jsonInterface struct {
		Name  string `json:"name"`
		Index int    `json:"index"`
		Kind  string `json:"kind"`
		Up    bool   `json:"up"`
	}
)

func describe(r *audit.Report) jsonReport {
	report := jsonReport{
		Version: statusSchema, Services: []jsonService{}, Namespaces: []jsonNamespace{},
		Unseen: append([]string{}, unseen(r.Unseen)...),
	}
	for i := range r.Services {
		report.Services = append(report.Services, describeService(&r.Services[i]))
	}
	for _, n := range r.Namespaces {
		described := jsonNamespace{
			Name: n.Name, Inode: n.Inode, Sound: n.Err == nil, Services: append([]string{}, n.Services...),
			Interfaces: []jsonInterface{}, Processes: []jsonProcess{},
		}
		for _, i := range n.Interfaces {
			described.Interfaces = append(described.Interfaces, jsonInterface(i))
		}
		for _, p := range n.Processes {
			described.Processes = append(described.Processes, jsonProcess{p.PID, p.Name})
		}
		report.Namespaces = append(report.Namespaces, described)
	}
	return report
}

func describeService(s *audit.Service) jsonService {
	described := jsonService{
		Name: s.Name, State: s.State, Settings: s.Settings != nil, Netns: s.Netns, Verdict: s.Verdict,
		Problems: []jsonProblem{}, Remedy: remedy(s), Remarks: append([]string{}, remarks(s)...),
		Processes: []jsonConfinedBy{},
	}
	if s.Settings != nil {
		described.VRF = s.Settings.VRF
	}
	for _, p := range s.Problems {
		described.Problems = append(described.Problems, jsonProblem{p.Verdict, sentence(s, p)})
	}
	for _, p := range s.Processes {
		described.Processes = append(described.Processes, jsonConfinedBy{
			jsonProcess{p.PID, p.Name}, p.Netns, p.Host, p.Inode, p.Position,
		})
	}
	return described
}
