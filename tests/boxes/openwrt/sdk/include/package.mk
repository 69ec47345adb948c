PKG_BUILD_DIR:=$(OUT)/$(PKG_NAME)-$(PKG_VERSION)
PKG_INSTALL_DIR:=$(PKG_BUILD_DIR)/ipkg-install

# The original calls make there, which finds no Makefile.
Build/Compile=$(MAKE) -C $(PKG_BUILD_DIR)

define BuildPackage
all:
	$(Build/Prepare)
	$(Build/Compile)
	$(call Package/$(1)/install,$(OUT)/root)
endef
