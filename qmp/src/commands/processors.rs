//! Processor models: what there is, what is in them, and how they compare.

use crate::schema::declare::declare;
use serde_json::Value;

declare! {
    family "Processor models";

    /// A processor model that `-cpu` knows.
    struct CpuDefinitionInfo {
        /// Its name.
        name: String,
        /// What it means depends on the machine type alone. Absent means that nobody knows.
        migration_safe: Option<bool>,
        /// What it means depends on nothing.
        is_static as "static": bool,
        /// What Lockstep lacks of it. Empty if it can run as it is.
        unavailable_features: Option<Vec<String>>,
        /// Its type in the object model.
        typename: String,
        /// The model that this is another name of.
        alias_of: Option<String>,
        /// It will go.
        deprecated: Option<bool>,
    }

    /// Lists the processor models.
    command observes "query-cpu-definitions" QueryCpuDefinitions {} -> Vec<CpuDefinitionInfo>;

    /// A processor model, with what is changed of it.
    struct CpuModelInfo {
        /// The model that it is based on.
        name: String,
        /// Properties and their values.
        #[serde(default, deserialize_with = "crate::schema::present")]
        props: Option<Value>,
    }

    /// How a model is expanded.
    enum CpuModelExpansionType {
        /// Into a model that never changes its meaning, and what differs from it.
        Static = "static",
        /// Into all its properties.
        Full = "full",
    }

    /// An expanded model.
    struct CpuModelExpansionInfo {
        /// The model.
        model: CpuModelInfo,
    }

    /// Tells what is in a model.
    command observes "query-cpu-model-expansion" QueryCpuModelExpansion {
        /// How.
        ty as "type": CpuModelExpansionType,
        /// Of which.
        model: CpuModelInfo,
    } -> CpuModelExpansionInfo;

    /// How two models A and B compare.
    enum CpuModelCompareResult {
        /// Neither runs where the other does.
        Incompatible = "incompatible",
        /// Each runs where the other does.
        Identical = "identical",
        /// B runs where A does.
        Superset = "superset",
        /// A runs where B does.
        Subset = "subset",
    }

    /// How two models compare, and why.
    struct CpuModelCompareInfo {
        /// How.
        result: CpuModelCompareResult,
        /// The properties in which they differ. `type` among them means that no property could make them the same.
        responsible_properties: Vec<String>,
    }

    /// Compares two models.
    command observes "query-cpu-model-comparison" QueryCpuModelComparison {
        /// Model A.
        modela: CpuModelInfo,
        /// Model B.
        modelb: CpuModelInfo,
    } -> CpuModelCompareInfo;

    /// The model that two have in common.
    struct CpuModelBaselineInfo {
        /// A model that never changes its meaning.
        model: CpuModelInfo,
    }

    /// Finds the largest model that runs wherever one of two does.
    command observes "query-cpu-model-baseline" QueryCpuModelBaseline {
        /// The one.
        modela: CpuModelInfo,
        /// The other.
        modelb: CpuModelInfo,
    } -> CpuModelBaselineInfo;

    /// General registers, as CPUID's outputs.
    enum X86CPURegister32 {
        Eax = "EAX",
        Ebx = "EBX",
        Ecx = "ECX",
        Edx = "EDX",
        Esp = "ESP",
        Ebp = "EBP",
        Esi = "ESI",
        Edi = "EDI",
    }

    /// A word of CPUID's feature bits; the properties `feature-words` and `filtered-features` of a processor hold these.
    struct X86CPUFeatureWordInfo {
        /// CPUID's leaf.
        cpuid_input_eax: i64,
        /// CPUID's subleaf, if the leaf has any.
        cpuid_input_ecx: Option<i64>,
        /// The register that the word comes back in.
        cpuid_register: X86CPURegister32,
        /// The word.
        features: i64,
    }

    /// Nothing uses it; QEMU's schema has it for its generator's sake.
    struct DummyForceArrays {
        /// Feature words.
        unused: Vec<X86CPUFeatureWordInfo>,
    }
}
