"""What did a test find? An estimate with its interval, beside its controls, with a verdict in one sentence."""

from causalmi.results.agreement import AgreementResult as AgreementResult
from causalmi.results.agreement import NodeFinding as NodeFinding
from causalmi.results.interchange import Finding as Finding
from causalmi.results.interchange import InterchangeResult as InterchangeResult
from causalmi.results.verdicts import ORDER as ORDER
from causalmi.results.verdicts import Result as Result
from causalmi.results.verdicts import Verdict as Verdict
from causalmi.results.verdicts import strongest as strongest
