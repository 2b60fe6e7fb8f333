package preflight

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"openrc-netns/internal/files"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/rcdir"
)

// checkNamespace opens the namespace; nil if there is none. A service that
// makes it makes it in time.
func (s *serviceCheck) checkNamespace(root bool) *namespace.Namespace {
	name := s.settings.Netns
	if name == "" {
		if !root {
			return nil // only root may look at process 1
		}
		name = namespace.Host
	}
	if err := namespace.CheckName(name); err != nil {
		s.add(finding.NamespaceBadName, finding.Fails, s.from["netns"], s.edit("netns", properName(name)), err)
		return nil
	}
	if script := maker(name); script != "" && !executable(script) {
		s.add(finding.ScriptNotExecutableMaker, finding.Fails, finding.Where{Path: script}, makeExecutable(script), s.Name)
		return nil
	}
	ns, err := s.run.open(name)
	if err == nil {
		s.checkNotHost(ns)
		return ns
	}
	if errors.Is(err, fs.ErrPermission) && !root {
		s.unchecked(finding.UncheckedError, err)
		return nil
	}
	if maker(name) != "" && namespace.Vacant(err) && openrc.ReadState("netns."+name) != openrc.Started {
		if s.VRF != "" && root {
			s.unchecked(finding.UncheckedVRFLater, s.VRF, "netns."+name)
		}
		return nil
	}
	s.namespaceUnusable(name, err)
	return nil
}

// open is namespace.Open, which waits a little before it says that a name is stale:
// many services may have the same.
func (c *checker) open(name string) (*namespace.Namespace, error) {
	ns, err := namespace.Look(name)
	if !errors.As(err, new(*namespace.StaleError)) || c.stale[name] {
		return ns, err
	}
	ns, err = namespace.Open(name)
	c.stale[name] = err != nil
	return ns, err
}

// checkNotHost finds out whether a setting leads to the host's own namespace.
func (s *serviceCheck) checkNotHost(ns *namespace.Namespace) {
	host, err := namespace.Open(namespace.Host)
	if err != nil {
		return // only root may look at process 1
	}
	defer host.Close()
	s.onHost = s.Netns != "" && ns.Inode() == host.Inode()
	if !s.onHost || namespace.MeansHost(s.Netns) {
		return
	}
	id, remedy := finding.NamespaceHostPath, s.edit("netns", "vpn")
	if base := namespace.BaseName(s.Netns); base != "" {
		id, remedy = finding.NamespaceHost, finding.Remedy{}.RunAll(namespace.DeleteCommands(base)).Run(namespace.CreateCommand(base)...)
	}
	s.add(id, finding.Fails, s.from["netns"], remedy, s.Netns)
}

// maker is the init script of the service that makes the namespace called name,
// which the drop-in looks for too; empty if there is none.
func maker(name string) string {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	script := filepath.Join(rcdir.Init, "netns."+name)
	if _, err := os.Stat(script); err != nil || strings.Trim(name, plain) != "" {
		return ""
	}
	return script
}

// properName makes a name of one that is none.
func properName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < '!' || r == 0x7f || strings.ContainsRune(`"'\$`, r) {
			return -1
		}
		return r
	}, filepath.Base(name))
	if len(name) > 15 {
		name = name[:15]
	}
	if namespace.CheckName(name) != nil {
		return "vpn"
	}
	return name
}

// namespaceUnusable is for a namespace that cannot be opened. Only one that has
// a name can be made.
func (s *serviceCheck) namespaceUnusable(name string, err error) {
	base := namespace.BaseName(name)
	path := filepath.Join(namespace.Dir, base)
	what, _, _ := strings.Cut(err.Error(), "; ")
	missing := errors.As(err, new(*namespace.NotExistError))
	id, where, remedy, args := finding.NamespaceOther, s.from["netns"], finding.Remedy{}, []any{what}
	var stale *namespace.StaleError
	switch {
	case base == "" && missing:
		id, remedy, args = finding.NamespaceMissingPath, s.edit("netns", "vpn"), []any{name}
	case base == "":
		id, remedy = finding.NamespaceOtherPath, s.edit("netns", "vpn")
	case missing:
		id, args = finding.NamespaceMissing, []any{name}
		others, _ := names(namespace.Dir)
		if near := nearest(base, others); near != "" {
			id, args = finding.NamespaceMissingNear, append(args, near)
		}
		if creator := namespace.Creator(base); creator != "" {
			id, args = finding.NamespaceMissingCreator, []any{name, creator}
		}
	case errors.As(err, &stale):
		id, args = finding.NamespaceStale, []any{stale.Name, stale.Path}
		where, remedy = finding.Where{Path: stale.Path}, finding.Run("rm", stale.Path)
	default:
		where = finding.Where{Path: path}
		if mounted(path) {
			remedy = remedy.Run("umount", path)
		}
		if info, err := os.Lstat(path); err == nil && info.IsDir() {
			remedy = remedy.Run("rmdir", path)
		} else {
			remedy = remedy.Run("rm", path)
		}
	}
	if base != "" {
		remedy = remedy.Run(namespace.CreateCommand(base)...)
	}
	s.add(id, finding.Fails, where, remedy, args...)
}

// mounted reports whether something is mounted on the file at path.
func mounted(path string) bool {
	text, err := files.Read("/proc/self/mountinfo")
	return err == nil && strings.Contains(string(text), " "+path+" ")
}
