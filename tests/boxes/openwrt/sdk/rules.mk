# Stands in for OpenWrt's build system, as far as the package's Makefile needs it: as there, what is
# included later has the last word. OUT is where it works, PROGRAM what cargo would make.

INCLUDE_DIR:=$(TOPDIR)/include
CP:=cp -fpR
LN:=ln -sf
INSTALL_DIR:=install -d -m0755
INSTALL_BIN:=install -m0755
INSTALL_CONF:=install -m0600
