# shellcheck shell=bash disable=SC2034,SC2154
# Distributed under the terms of the BSD-2-Clause license

EAPI=8

inherit go-module

DESCRIPTION="Run OpenRC services in network namespaces and VRFs"
HOMEPAGE=""
# The second has the modules in go.mod, as "go mod vendor" has them.
SRC_URI="${P}.tar.gz ${P}-vendor.tar.xz"

# The modules that the programs consist of: Apache-2.0 BSD MIT
LICENSE="BSD-2 Apache-2.0 BSD MIT"
SLOT="0"
KEYWORDS="~amd64 ~arm64"
# The tests install Debian roots.
RESTRICT="fetch test"

RDEPEND=">=sys-apps/openrc-0.45"
BDEPEND=">=dev-lang/go-1.26"

pkg_nofetch() {
	einfo "Put these files of the release into your DISTDIR: ${A}"
}

src_compile() {
	emake
}

src_install() {
	emake DESTDIR="${D}" LSBDIR= \
		HOOKS="/lib/dhcpcd/dhcpcd-hooks/90-openrc-netns /lib/resolvconf/libc.d/openrc-netns" install
	einstalldocs
	exeinto /usr/share/openrc-netns
	doexe packaging/preremove

	# There is nothing to configure in these, and an old one that is kept stops
	# every confined service.
	newenvd - 50openrc-netns <<-EOF
		CONFIG_PROTECT_MASK="/etc/rc.conf.d/50-netns.conf /etc/init.d/netns /etc/init.d/netns-publish"
	EOF
}

pkg_postinst() {
	[[ -n ${ROOT} ]] || elog "$(sh /usr/share/openrc-netns/supported /etc)"
}

# Portage removes it even if this fails.
pkg_prerm() {
	[[ -n ${REPLACED_BY_VERSION} || -n ${ROOT} ]] || /usr/share/openrc-netns/preremove ||
		eerror "Services that run in network namespaces lose their drop-in: install this again before you stop them"
}
