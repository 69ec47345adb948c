# The original calls `cargo install --locked`.
Build/Compile=cargo metadata --quiet --locked --offline --no-deps --format-version 1 \
	--manifest-path $(PKG_BUILD_DIR)/Cargo.toml >$(OUT)/metadata && \
	printenv BUILD_COMMIT >$(OUT)/commit && \
	install -D $(PROGRAM) $(PKG_INSTALL_DIR)/bin/qarbiter
