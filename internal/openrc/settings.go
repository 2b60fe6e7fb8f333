// Package openrc holds what is peculiar to OpenRC: the settings of a service,
// what is recorded of a started one, and what each action may do.
package openrc

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"openrc-netns/internal/launch"
	"openrc-netns/internal/namespace"
)

// Settings are the variables of a conf.d file, as a shell would have them.
type Settings struct {
	Netns string // netns: the network namespace, a name or an absolute path
	VRF   string // vrf: a VRF device of that namespace
	Etc   string // netns_etc: yes or no; nothing is yes
	Hide  string // netns_hide: paths to hide, separated by blanks
	Lock  string // netns_lock: yes or no
	Keep  string // netns_keep_caps: capabilities that the lock leaves, separated by blanks or commas
}

// Names are the variables that Settings has, in the order of its fields.
var Names = []string{"netns", "vrf", "netns_etc", "netns_hide", "netns_lock", "netns_keep_caps"}

// InheritSetting has a service that asks for none of these stay in the network
// namespace that it is started from. The drop-in alone reads it.
const InheritSetting = "netns_inherit"

// Set gives the setting that name names a value.
func (s *Settings) Set(name, value string) {
	if field := s.field(name); field != nil {
		*field = value
	}
}

// Get returns the value of the setting that name names.
func (s *Settings) Get(name string) string {
	if field := s.field(name); field != nil {
		return *field
	}
	return ""
}

func (s *Settings) field(name string) *string {
	for i, field := range []*string{&s.Netns, &s.VRF, &s.Etc, &s.Hide, &s.Lock, &s.Keep} {
		if Names[i] == name {
			return field
		}
	}
	return nil
}

// ParseSettings reads NAME=VALUE, each with a NUL behind it. It returns the first
// that is no setting, or has no NUL, too: part of an answer would lead elsewhere
// than all of it.
func ParseSettings(text string) (settings Settings, odd string) {
	for text != "" {
		entry, rest, ended := strings.Cut(text, "\x00")
		name, value, found := strings.Cut(entry, "=")
		field := settings.field(name)
		if !ended || !found || field == nil {
			return settings, entry
		}
		*field, text = value, rest
	}
	return settings, ""
}

// Confined reports whether the settings ask for anything.
func (s Settings) Confined() bool {
	lock, err := YesNo(s.Lock)
	return s.Netns != "" || s.VRF != "" || lock || err != nil
}

// viewLine spells, in one line, the settings that the private view of a start
// depends on, to compare.
func (s Settings) viewLine() string {
	return fmt.Sprintf("%q", []string{s.Etc, s.Hide, s.Lock, s.Keep})
}

// Spec makes the settings a launch.Spec; without netns it is of the host's
// network namespace, wherever the caller is. A value that is none of those that
// a setting knows is an error.
func (s Settings) Spec() (launch.Spec, error) {
	spec := launch.Spec{
		Place:   launch.Place{Netns: s.Netns},
		Sockets: launch.Sockets{VRF: s.VRF, Keep: Capabilities(s.Keep)},
	}
	if s.Netns == "" {
		spec.Place.Netns = namespace.Host
	}
	if s.Confined() {
		spec.View = s.view(s.Netns)
	}
	_, err := YesNo(s.Etc)
	if err != nil {
		return spec, fmt.Errorf("netns_etc=%q: %w", s.Etc, err)
	}
	if spec.Sockets.Lock, err = YesNo(s.Lock); err != nil {
		return spec, fmt.Errorf("netns_lock=%q: %w", s.Lock, err)
	}
	if err := launch.CheckKeep(spec.Sockets.Keep); err != nil {
		return spec, fmt.Errorf("netns_keep_caps: %w", err)
	}
	return spec, nil
}

// view is the private view in the namespace of that name.
func (s Settings) view(netns string) *launch.View {
	view := &launch.View{Hide: strings.Fields(s.Hide)}
	if s.BindsEtc() {
		view.Etc = namespace.BaseName(netns)
	}
	return view
}

// BindsEtc reports whether the entries of /etc/netns/NAME are bound over those of
// /etc.
func (s Settings) BindsEtc() bool {
	yes, err := YesNo(s.Etc)
	return s.Etc == "" || yes || err != nil
}

// Capabilities are the names in a value of netns_keep_caps.
func Capabilities(keep string) []string {
	return strings.FieldsFunc(keep, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}

// YesNo knows the words that OpenRC's shell function yesno knows; nothing is no.
// The error says what to use.
func YesNo(word string) (bool, error) {
	switch strings.ToLower(word) {
	case "yes", "true", "on", "1":
		return true, nil
	case "", "no", "false", "off", "0":
		return false, nil
	}
	return false, errors.New(`use "yes" or "no"`)
}

// CheckName refuses what cannot name a service: names become parts of paths.
func CheckName(service string) error {
	if service == "" || service == "." || service == ".." || strings.Contains(service, "/") {
		return fmt.Errorf("bad service name %q", service)
	}
	return nil
}
