//! One line of a cost-and-usage report: what was used, by whom, at which price.

use super::draw::{Draw, round};

/// 2024-01-01T00:00:00Z in microseconds.
const START: i64 = 1_704_067_200_000_000;
const MICROSECONDS_PER_HOUR: i64 = 3_600_000_000;
/// Starts of the twelve months of 2024 and of the month after, in days since its first.
const MONTHS: [i64; 13] = [0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335, 366];

/// A product and what the report says of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product {
    pub(super) code: &'static str,
    pub(super) name: &'static str,
    pub(super) family: &'static str,
    pub(super) operation: &'static str,
    pub(super) usage: &'static str,
    pub(super) unit: &'static str,
    /// US dollars per unit, on demand.
    pub(super) rate: f64,
    /// Mean usage of an hour, in units.
    pub(super) mean_usage: f64,
}

macro_rules! products {
    ($($code:literal $name:literal $family:literal $operation:literal $usage:literal $unit:literal $rate:literal $mean:literal;)*) => {
        /// The products, those with the most lines first.
        pub(super) const PRODUCTS: &[Product] = &[$(Product {
            code: $code, name: $name, family: $family, operation: $operation,
            usage: $usage, unit: $unit, rate: $rate, mean_usage: $mean,
        },)*];
    };
}

products! {
    "AmazonEC2" "Amazon Elastic Compute Cloud" "Compute Instance" "RunInstances" "BoxUsage" "Hrs" 0.096 1.0;
    "AmazonEC2" "Amazon Elastic Compute Cloud" "Storage" "CreateVolume-Gp3" "EBS:VolumeUsage.gp3" "GB-Mo" 0.08 0.14;
    "AmazonS3" "Amazon Simple Storage Service" "Storage" "StandardStorage" "TimedStorage-ByteHrs" "GB-Mo" 0.023 2.5;
    "AmazonS3" "Amazon Simple Storage Service" "API Request" "GetObject" "Requests-Tier2" "Requests" 0.0000004 90000.0;
    "AWSDataTransfer" "AWS Data Transfer" "Data Transfer" "RunInstances" "DataTransfer-Out-Bytes" "GB" 0.09 3.0;
    "AmazonRDS" "Amazon Relational Database Service" "Database Instance" "CreateDBInstance:0014" "InstanceUsage" "Hrs" 0.171 1.0;
    "AWSLambda" "AWS Lambda" "Serverless" "Invoke" "Lambda-GB-Second" "Lambda-GB-Second" 0.0000166667 4000.0;
    "AmazonCloudWatch" "AmazonCloudWatch" "Metric" "MetricStorage" "CW:MetricMonitorUsage" "Metrics" 0.3 0.02;
    "AmazonDynamoDB" "Amazon DynamoDB" "Database Storage" "CommittedThroughput" "ReadCapacityUnit-Hrs" "ReadCapacityUnit-Hrs" 0.00013 25.0;
    "awskms" "AWS Key Management Service" "Encryption Key" "Decrypt" "KMS-Requests" "Requests" 0.000003 1500.0;
}

/// A region: code, short name in usage types, place.
pub(super) type Region = (&'static str, &'static str, &'static str);
const REGIONS: &[Region] = &[
    ("us-east-1", "USE1", "US East (N. Virginia)"),
    ("eu-west-1", "EUW1", "EU (Ireland)"),
    ("us-west-2", "USW2", "US West (Oregon)"),
    ("eu-central-1", "EUC1", "EU (Frankfurt)"),
    ("ap-southeast-1", "APS1", "Asia Pacific (Singapore)"),
];

/// An instance type: name, family, processors, memory, price relative to the product's rate.
pub(super) type Instance = (&'static str, &'static str, &'static str, &'static str, f64);
const INSTANCES: &[Instance] = &[
    ("m5.large", "General purpose", "2", "8 GiB", 1.0),
    ("t3.medium", "General purpose", "2", "4 GiB", 0.43),
    ("c5.xlarge", "Compute optimized", "4", "8 GiB", 1.77),
    ("r5.2xlarge", "Memory optimized", "8", "64 GiB", 5.25),
    ("m5.4xlarge", "General purpose", "16", "64 GiB", 8.0),
];

/// How a line is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charge {
    OnDemand,
    Reserved,
    SavingsPlan,
    Tax,
    Credit,
}

/// A line, from which every column of the report follows.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) id: u64,
    pub(super) account: u64,
    pub(super) charge: Charge,
    pub(super) product: Product,
    pub(super) region: Region,
    pub(super) instance: Option<Instance>,
    /// Start of the hour, and of its month and the next one, in microseconds.
    pub(super) hour: i64,
    pub(super) month: (i64, i64),
    pub(super) usage: f64,
    pub(super) rate: f64,
    pub(super) zone: Option<char>,
    pub(super) resource: Option<u64>,
    pub(super) contract: u64,
    pub(super) team: Option<&'static str>,
    pub(super) environment: Option<&'static str>,
    pub(super) project: Option<&'static str>,
}

/// Draws the line at a place among `total`; hours rise with the places, over the year 2024.
pub(super) fn line(row: u64, total: u64, draw: &mut Draw) -> Line {
    let hours = MONTHS[12] * 24;
    let hour_of_year = (u128::from(row) * hours as u128 / u128::from(total.max(1))) as i64;
    let month = MONTHS.iter().rposition(|day| *day <= hour_of_year / 24).unwrap_or_default().min(11);
    let day = |days: i64| START + days * 24 * MICROSECONDS_PER_HOUR;
    let product = draw.pick_early(PRODUCTS);
    let instance = product.family.ends_with("Instance").then(|| draw.pick_early(INSTANCES));
    let usage = if instance.is_some() { 1.0 } else { draw.exponential(product.mean_usage) };
    Line {
        id: draw.below(u64::MAX),
        account: 100_000_000_000 + draw.pick_early(&[7, 1, 2, 3, 4, 5, 6]) * 111_111_111,
        charge: charge(instance.is_some(), draw),
        product,
        region: draw.pick_early(REGIONS),
        instance,
        hour: START + hour_of_year * MICROSECONDS_PER_HOUR,
        month: (day(MONTHS[month]), day(MONTHS[month + 1])),
        usage,
        rate: product.rate * instance.map_or(1.0, |instance| instance.4),
        zone: draw.chance(0.6).then(|| draw.pick(&['a', 'b', 'c'])),
        resource: draw.chance(0.9).then(|| draw.below(5_000)),
        contract: draw.below(40),
        team: draw.chance(0.8).then(|| draw.pick_early(&["platform", "data", "web", "mobile", "security"])),
        environment: draw.chance(0.85).then(|| draw.pick_early(&["production", "staging", "development", "test"])),
        project: draw.chance(0.5).then(|| draw.pick(&["atlas", "borealis", "cumulus", "delta", "equinox", "fjord"])),
    }
}

fn charge(is_instance: bool, draw: &mut Draw) -> Charge {
    let unit = draw.unit();
    match unit {
        unit if unit < 0.01 => Charge::Credit,
        unit if unit < 0.03 => Charge::Tax,
        unit if is_instance && unit < 0.23 => Charge::Reserved,
        unit if is_instance && unit < 0.48 => Charge::SavingsPlan,
        _ => Charge::OnDemand,
    }
}

impl Line {
    /// Whether something was used, as against a tax or a credit.
    pub(super) fn is_usage(&self) -> bool {
        !matches!(self.charge, Charge::Tax | Charge::Credit)
    }

    pub(super) fn on_demand_cost(&self) -> f64 {
        round(self.usage * self.rate)
    }

    /// What the bill says before discounts are spread over it.
    pub(super) fn unblended_cost(&self) -> f64 {
        match self.charge {
            Charge::OnDemand | Charge::SavingsPlan => self.on_demand_cost(),
            Charge::Reserved => 0.0,
            Charge::Tax => round(self.on_demand_cost() * 0.19),
            Charge::Credit => -self.on_demand_cost(),
        }
    }

    /// What a reservation or a savings plan makes of the price: about a third less.
    pub(super) fn discounted_cost(&self) -> f64 {
        round(self.on_demand_cost() * 0.64)
    }

    /// Size of an instance in the units in which reservations are shared: 4 for a large one.
    pub(super) fn normalization(&self) -> Option<f64> {
        self.instance.map(|(name, ..)| match name.rsplit('.').next() {
            Some("medium") => 2.0,
            Some("xlarge") => 8.0,
            Some("2xlarge") => 16.0,
            Some("4xlarge") => 32.0,
            _ => 4.0,
        })
    }

    /// The name of a resource: an instance, a volume, a bucket, a function, a table.
    pub(super) fn resource_id(&self) -> Option<String> {
        let number = self.resource.filter(|_| self.is_usage())?;
        let (region, account) = (self.region.0, self.account);
        Some(match (self.product.code, self.instance.is_some()) {
            ("AmazonEC2", true) | ("AWSDataTransfer", _) => format!("i-{:017x}", number * 0x9e37_79b9),
            ("AmazonEC2", false) => format!("vol-{:017x}", number * 0x9e37_79b9),
            ("AmazonS3", _) => format!("bucket-{}", number % 200),
            ("AmazonRDS", _) => format!("arn:aws:rds:{region}:{account}:db:db-{}", number % 50),
            ("AWSLambda", _) => format!("arn:aws:lambda:{region}:{account}:function:fn-{}", number % 300),
            (code, _) => format!("arn:aws:{}:{region}:{account}:{number}", code.to_ascii_lowercase()),
        })
    }

    pub(super) fn usage_type(&self) -> String {
        match self.instance {
            Some((name, ..)) => format!("{}-{}:{name}", self.region.1, self.product.usage),
            None => format!("{}-{}", self.region.1, self.product.usage),
        }
    }
}
