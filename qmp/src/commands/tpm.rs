//! Trusted platform modules.

use crate::schema::declare::declare;

declare! {
    family "Trusted platform modules";

    /// Kinds of modules, as the guest sees them.
    enum TpmModel {
        /// With TPM 1.2's interface.
        TpmTis = "tpm-tis",
        /// With TPM 2.0's interface.
        TpmCrb = "tpm-crb",
        /// With pSeries' interface.
        TpmSpapr = "tpm-spapr",
    }

    /// Lists kinds of modules that a machine can have.
    command observes "query-tpm-models" QueryTpmModels {} -> Vec<TpmModel>;

    /// What can be behind a module.
    enum TpmType {
        /// The host's own.
        Passthrough = "passthrough",
        /// A program.
        Emulator = "emulator",
    }

    /// Lists what can be behind a module.
    command observes "query-tpm-types" QueryTpmTypes {} -> Vec<TpmType>;

    /// The host's own module.
    struct TPMPassthroughOptions {
        /// Its device.
        path: Option<String>,
        /// Where its commands are cancelled.
        cancel_path: Option<String>,
    }

    /// A program that is a module.
    struct TPMEmulatorOptions {
        /// The character device that it is behind.
        chardev: String,
    }

    /// The options stand in an object of their own.
    struct TPMPassthroughOptionsWrapper {
        /// The options.
        data: TPMPassthroughOptions,
    }

    /// The options stand in an object of their own.
    struct TPMEmulatorOptionsWrapper {
        /// The options.
        data: TPMEmulatorOptions,
    }

    /// What is behind a module.
    union TpmTypeOptions {}
    /// Which of them.
    by kind = "type": TpmType as TpmTypeOptionsOf {
        Passthrough = "passthrough": TPMPassthroughOptionsWrapper,
        Emulator = "emulator": TPMEmulatorOptionsWrapper,
    }

    /// A module.
    struct TPMInfo {
        /// Its name.
        id: String,
        /// Its kind.
        model: TpmModel,
        /// What is behind it.
        options: TpmTypeOptions,
    }

    /// Lists the machine's modules.
    command observes "query-tpm" QueryTpm {} -> Vec<TPMInfo>;
}
